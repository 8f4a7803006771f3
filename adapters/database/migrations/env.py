"""Runs the migrations on the connection that `Database.upgrade` opened.

Read next: `versions/`.
"""

from alembic import context

from adapters.database.schema import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
