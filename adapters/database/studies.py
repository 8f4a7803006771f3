"""What arrived: cursors over the archives and the state of each study.

A study is ``waiting`` from its first change until the feed routes it.  A change after
that opens the next generation, and the study waits again; one that a person discarded
stays discarded.

Read next: `runs.py`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, delete, select, update

from adapters.database.schema import CURSOR, STUDY, STUDY_CHANGE, insert, put, put_if_absent
from adapters.database.session import Session
from adapters.pacs import Change

STUDY_STATES = ("waiting", "forced", "routed", "discarded")
_OPEN = ("waiting", "forced")


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One study of one archive; ``generation`` counts from 1."""

    pacs: str
    study_instance_uid: str
    state: str
    last_arrival_at: datetime
    sender: str
    instance_count_seen: int
    generation: int


class Studies(Session):
    """Cursors, changes and study states of a transaction."""

    def cursor(self, name: str) -> str | None:
        """Return the stored cursor, None before the first."""
        value = self.connection.scalar(select(CURSOR.c.value).where(CURSOR.c.name == name))
        return None if value is None else str(value)

    def set_cursor(self, name: str, value: str) -> None:
        """Store a cursor; do it in the transaction that stores what it covers."""
        put(self.connection, CURSOR, {"name": name, "value": value})

    def add_change(self, pacs: str, change: Change) -> bool:
        """Note a change of a study; False, and nothing changed, when it is known."""
        known = {"change_key": _key(pacs, change), "arrived_at": change.arrived_at}
        if not put_if_absent(self.connection, STUDY_CHANGE, known):
            return False
        row = {
            "pacs": pacs,
            "study_instance_uid": change.study_instance_uid,
            "state": "waiting",
            "last_arrival_at": change.arrived_at,
            "sender": change.sender,
            "instance_count_seen": int(change.kind == "new_instance"),
            "generation": 1,
        }
        statement = insert(self.connection, STUDY).values(**row)
        new = statement.excluded
        reopened = STUDY.c.state == "routed"
        later = new.last_arrival_at > STUDY.c.last_arrival_at
        self.connection.execute(
            statement.on_conflict_do_update(
                index_elements=["pacs", "study_instance_uid"],
                set_={
                    "state": case((reopened, "waiting"), else_=STUDY.c.state),
                    "generation": STUDY.c.generation + case((reopened, 1), else_=0),
                    "last_arrival_at": case(
                        (later, new.last_arrival_at), else_=STUDY.c.last_arrival_at
                    ),
                    "sender": case((new.sender != "", new.sender), else_=STUDY.c.sender),
                    "instance_count_seen": STUDY.c.instance_count_seen + new.instance_count_seen,
                },
            )
        )
        return True

    def studies_waiting(self, pacs: str) -> tuple[StudyRow, ...]:
        """Return the studies that the feed has to decide (waiting or forced), oldest first."""
        query = (
            select(STUDY)
            .where(STUDY.c.pacs == pacs, STUDY.c.state.in_(_OPEN))
            .order_by(STUDY.c.last_arrival_at, STUDY.c.study_instance_uid)
        )
        return tuple(StudyRow(**row._mapping) for row in self.connection.execute(query))

    def study(self, pacs: str, study_instance_uid: str) -> StudyRow | None:
        """Return one study, None when nothing of it ever arrived."""
        query = select(STUDY).where(
            STUDY.c.pacs == pacs, STUDY.c.study_instance_uid == study_instance_uid
        )
        row = self.connection.execute(query).first()
        return None if row is None else StudyRow(**row._mapping)

    def set_study_state(self, pacs: str, study_instance_uid: str, state: str) -> None:
        """Set the state of a study; a study that is not known stays unknown."""
        if state not in STUDY_STATES:
            raise ValueError(f"expected a state in {STUDY_STATES}, found {state!r}")
        self.connection.execute(
            update(STUDY)
            .where(STUDY.c.pacs == pacs, STUDY.c.study_instance_uid == study_instance_uid)
            .values(state=state)
        )

    def forget_changes(self, before: datetime) -> int:
        """Drop the keys of changes older than ``before``; return how many.

        Only changes that the cursor has long passed may go: a change that is reported
        again after its key was dropped counts as new.
        """
        statement = delete(STUDY_CHANGE).where(STUDY_CHANGE.c.arrived_at < before)
        return self.connection.execute(statement).rowcount


def _key(pacs: str, change: Change) -> str:
    parts = (
        pacs,
        change.kind,
        change.study_instance_uid,
        change.series_instance_uid or "",
        change.sop_instance_uid or "",
        change.arrived_at.isoformat(),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
