"""The vault: salts, and the only way back from a pseudonym to a patient.

A database of its own (``vault.db``, or one that several machines share), so that it can
be kept, restricted and erased apart from the records.  Fulfils `audit.ports.Vault`;
each call is one transaction.

Read next: `audit/pseudonym.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from adapters.database.database import BEGIN, open_engine
from adapters.database.faults import speakable, translate
from adapters.database.schema import put, put_if_absent
from audit.errors import NotFoundError

_METADATA = MetaData()
_LOCK_ID = 0x6F7374656F6E03
_SALT_SIZE = 32

_SALT = Table(
    "salt",
    _METADATA,
    Column("subject", Text, primary_key=True),
    Column("salt", LargeBinary(_SALT_SIZE), nullable=False),
)
_PSEUDONYM = Table(
    "pseudonym",
    _METADATA,
    Column("pseudonym", Text, primary_key=True),
    Column("subject", Text, nullable=False, index=True),
    Column("value", Text, nullable=False),
)
_ERASURE = Table(
    "erasure_order",
    _METADATA,
    Column("order_id", Text, primary_key=True),
    Column("patient", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("run_ids", Text, nullable=False),
)
"""Orders lie here and not among the governed documents: they name whom they concern."""
_STUDY = Table(
    "study",
    _METADATA,
    Column("study", Text, primary_key=True),
    Column("patient", Text, nullable=False, index=True),
)


class SqliteVault:
    """A vault behind a database URL or, as by default, in a SQLite file of mode 0600."""

    def __init__(self, place: str | Path, *, busy_timeout_s: float = 10.0) -> None:
        url = str(place) if "://" in str(place) else f"sqlite:///{place}"
        self._engine = open_engine(url, busy_timeout_s)
        with self._transaction() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
            _METADATA.create_all(connection)

    def salt(self, subject: str) -> bytes:
        """Return the 32 random bytes of a subject; made at the first call."""
        with self._transaction(write=False) as connection:
            kept = connection.scalar(select(_SALT.c.salt).where(_SALT.c.subject == subject))
        if kept is not None:
            return bytes(kept)
        with self._transaction() as connection:
            fresh = {"subject": subject, "salt": os.urandom(_SALT_SIZE)}
            put_if_absent(connection, _SALT, fresh)
            query = select(_SALT.c.salt).where(_SALT.c.subject == subject)
            return bytes(connection.execute(query).scalar_one())

    def remember(self, subject: str, pseudonym: str, value: str) -> None:
        """Keep what a pseudonym stands for; a second call changes nothing."""
        with self._transaction(write=False) as connection:
            query = select(_PSEUDONYM.c.value).where(_PSEUDONYM.c.pseudonym == pseudonym)
            if connection.scalar(query) is not None:
                return
        row = {"pseudonym": pseudonym, "subject": subject, "value": value}
        with self._transaction() as connection:
            put_if_absent(connection, _PSEUDONYM, row)

    def reveal(self, pseudonym: str) -> str:
        """Return what a pseudonym stands for; NotFoundError when unknown or erased."""
        with self._transaction(write=False) as connection:
            query = select(_PSEUDONYM.c.value).where(_PSEUDONYM.c.pseudonym == pseudonym)
            value = connection.scalar(query)
        if value is None:
            raise NotFoundError("expected a known pseudonym, found one that is unknown or erased")
        return str(value)

    def link(self, study: str, patient: str) -> None:
        """Note whose study it is; a corrected patient (merge) replaces the one before."""
        if self.patient_of(study) != patient:
            with self._transaction() as connection:
                put(connection, _STUDY, {"study": study, "patient": patient})

    def patient_of(self, study: str) -> str | None:
        """Return the patient subject that a study subject is linked to."""
        with self._transaction(write=False) as connection:
            query = select(_STUDY.c.patient).where(_STUDY.c.study == study)
            patient = connection.scalar(query)
        return None if patient is None else str(patient)

    def studies_of(self, patient: str) -> tuple[str, ...]:
        """Return the study subjects that are linked to a patient subject."""
        with self._transaction(write=False) as connection:
            query = select(_STUDY.c.study).where(_STUDY.c.patient == patient)
            return tuple(str(study) for study in connection.scalars(query))

    def known(self, patient: str) -> tuple[str, tuple[str, ...]]:
        """Return pseudonym and study subjects of a patient; makes none.

        Raises
        ------
        NotFoundError : nobody is known under that subject.
        """
        with self._transaction(write=False) as connection:
            query = select(_PSEUDONYM.c.pseudonym).where(_PSEUDONYM.c.subject == patient)
            found = connection.scalar(query)
            studies = select(_STUDY.c.study).where(_STUDY.c.patient == patient)
            linked = tuple(connection.scalars(studies.order_by(_STUDY.c.study)))
        if found is None:
            raise NotFoundError("expected a patient who is known here, found none")
        return str(found), linked

    def order_erasure(self, order_id: str, patient: str, proposed_by: str, role: str) -> None:
        """Keep an order to erase a patient until it is carried out."""
        row = {"order_id": order_id, "patient": patient, "proposed_by": proposed_by, "role": role}
        with self._transaction() as connection:
            put(connection, _ERASURE, {**row, "run_ids": ""})

    def begin_erasure(self, order_id: str, run_ids: Iterable[str]) -> tuple[str, ...]:
        """Add to the runs whose traces an order has to remove, and return all of them."""
        with self._transaction() as connection:
            of_order = _ERASURE.c.order_id == order_id
            kept = str(connection.execute(select(_ERASURE.c.run_ids).where(of_order)).scalar_one())
            runs = sorted({*kept.split(), *run_ids})
            connection.execute(update(_ERASURE).where(of_order).values(run_ids=" ".join(runs)))
            return tuple(runs)

    def erasure_order(self, order_id: str) -> tuple[str, str, str]:
        """Return (patient, proposed by, role) of an order; NotFoundError where there is none."""
        with self._transaction(write=False) as connection:
            query = select(_ERASURE).where(_ERASURE.c.order_id == order_id)
            row = connection.execute(query).first()
        if row is None:
            raise NotFoundError(f"expected an order of erasure {order_id[:40]}, found none")
        return str(row.patient), str(row.proposed_by), str(row.role)

    def erase(self, patient: str) -> int:
        """Delete salts, ways back and orders of a patient and of the linked studies.

        SQLite overwrites what is deleted (``secure_delete``), and the write-ahead log is
        emptied after it; backups are the site's to erase.
        """
        with self._transaction() as connection:
            linked = select(_STUDY.c.study).where(_STUDY.c.patient == patient)
            studies = tuple(connection.scalars(linked))
            erased = 0
            for table in (_PSEUDONYM, _SALT):
                of_patient = or_(table.c.subject == patient, table.c.subject.in_(studies))
                erased += connection.execute(delete(table).where(of_patient)).rowcount
            connection.execute(delete(_STUDY).where(_STUDY.c.patient == patient))
            connection.execute(delete(_ERASURE).where(_ERASURE.c.patient == patient))
        if self._engine.dialect.name == "sqlite":
            with self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return erased

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, *, write: bool = True) -> Iterator[Connection]:
        how = "BEGIN IMMEDIATE" if write else "BEGIN"
        try:
            with (
                self._engine.connect() as connection,
                connection.execution_options(**{BEGIN: how}).begin(),
            ):
                yield connection
        except SQLAlchemyError as error:
            raise translate(error) from speakable(error)
