"""What arrived: cursors over the archives and the state of each study.

A study is ``waiting`` from its first change until the feed routes it.  A change after
that opens the next generation, and the study waits again; one that a person discarded
stays discarded.

Read next: `runs.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, delete, select, update

from adapters.database.schema import CURSOR, STUDY, STUDY_CHANGE, insert, put
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

    def cursors(self, opening: str) -> dict[str, str]:
        """Return the stored cursors whose names begin so, by the rest of the name."""
        query = select(CURSOR).where(CURSOR.c.name.startswith(opening, autoescape=True))
        rows = self.connection.execute(query)
        return {str(row.name).removeprefix(opening): str(row.value) for row in rows}

    def set_cursor(self, name: str, value: str) -> None:
        """Store a cursor; do it in the transaction that stores what it covers."""
        put(self.connection, CURSOR, {"name": name, "value": value})

    def add_change(self, pacs: str, change: Change) -> bool:
        """Note a change of a study; False, and nothing changed, when it is known."""
        return bool(self.add_changes(pacs, [change]))

    def add_changes(self, pacs: str, changes: Sequence[Change]) -> tuple[Change, ...]:
        """Note changes of studies and return those that were not known."""
        keyed = {_key(pacs, change): change for change in changes}
        new = self._add_keys(keyed)
        fresh = tuple(change for key, change in keyed.items() if key in new)
        by_study: dict[str, list[Change]] = {}
        for change in fresh:
            by_study.setdefault(change.study_instance_uid, []).append(change)
        for uid, group in by_study.items():
            self._put_study(pacs, uid, group)
        return fresh

    def _add_keys(self, keyed: Mapping[str, Change]) -> set[str]:
        """Keep the keys of changes and return those that were not there."""
        rows = [{"change_key": key, "arrived_at": item.arrived_at} for key, item in keyed.items()]
        if not rows:
            return set()
        statement = insert(self.connection, STUDY_CHANGE).on_conflict_do_nothing()
        return set(self.connection.scalars(statement.returning(STUDY_CHANGE.c.change_key), rows))

    def _put_study(self, pacs: str, study_instance_uid: str, changes: Sequence[Change]) -> None:
        """Let a study wait that has changed; the sender is the last one that said who it is."""
        row = {
            "pacs": pacs,
            "study_instance_uid": study_instance_uid,
            "state": "waiting",
            "last_arrival_at": max(change.arrived_at for change in changes),
            "sender": next((item.sender for item in reversed(changes) if item.sender), ""),
            "instance_count_seen": sum(item.kind == "new_instance" for item in changes),
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

    def studies_waiting(self, pacs: str) -> tuple[StudyRow, ...]:
        """Return the studies that the feed has to decide (waiting or forced), oldest first."""
        query = (
            select(STUDY)
            .where(STUDY.c.pacs == pacs, STUDY.c.state.in_(_OPEN))
            .order_by(STUDY.c.last_arrival_at, STUDY.c.study_instance_uid)
        )
        return tuple(StudyRow(**row._mapping) for row in self.connection.execute(query))

    def studies_since(self, since: datetime) -> tuple[StudyRow, ...]:
        """Return the studies of which something arrived at or after a moment, oldest first."""
        query = (
            select(STUDY)
            .where(STUDY.c.last_arrival_at >= since)
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
