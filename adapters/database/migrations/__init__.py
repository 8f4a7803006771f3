"""One line of migrations of the site database (Alembic).

Read next: `versions/`, oldest first.
"""
