"""Runs: what was asked, and how far it came.

The request is kept whole as JSON; the columns beside it are those that are searched.
``attempts`` counts from 1 and grows when a closed run is queued again.

Read next: `documents.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, Select, and_, func, or_, select, text, update

from adapters.database.schema import RUN, RUN_MARK, RUN_STEP, STUDY, put_if_absent
from adapters.database.session import Session
from audit.errors import InputChangedError, NotFoundError
from plugins.host import prescription as prescriptions
from plugins.host.ports import RunRequest

OPEN_STATUSES = ("queued", "running", "waiting", "delivering")
CLOSED_STATUSES = ("done", "refused", "abstained", "failed", "discarded")
STATUSES = OPEN_STATUSES + CLOSED_STATUSES
ANSWERED = ("done", "refused", "abstained")
REROUTED = "REROUTED"
"""Reason of a run that was discarded because another release runs the study."""
_ATTEMPTABLE = ("queued", "running")
FOLDER = "folder"
"""In place of an archive's name: a run on files, made by the process that was asked;
`SiteCases.scans` gives the files."""
_LOCK_ID = 0x6F7374656F6E04


@dataclass(frozen=True, slots=True)
class RunRow(RunRequest):
    """One run: its request, and how far it came.

    Parameters
    ----------
    pacs : configured name of the archive that the study lies in.
    status : one of `STATUSES`; ``reason`` says why a closed run is not done.
    facts : what reading told of the input, as JSON values without identity.
    """

    pacs: str = ""
    status: str = "queued"
    reason: str = ""
    closed_at: datetime | None = None
    input_digest: str | None = None
    attempts: int = 1
    superseded_by: str | None = None
    seconds: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def request(self) -> RunRequest:
        """Return the request alone."""
        return RunRequest(**{item.name: getattr(self, item.name) for item in fields(RunRequest)})


class Runs(Session):
    """Runs of a transaction."""

    def add_run(self, request: RunRequest, pacs: str, status: str = "queued") -> bool:
        """Add a run; False, and nothing changed, when its id is known."""
        row = {
            "run_id": request.run_id,
            "pacs": pacs,
            "study_instance_uid": request.study_instance_uid,
            "plugin": request.plugin,
            "release_digest": request.release_digest,
            "mode": request.mode,
            "request": encode_request(request),
            "status": _known(status),
            "reason": "",
            "opened_at": request.opened_at,
            "attempts": 1,
        }
        return put_if_absent(self.connection, RUN, row)

    def run(self, run_id: str, *, lock: bool = False) -> RunRow | None:
        """Return a run; with ``lock`` no other transaction changes it until this one ends."""
        query = select(RUN).where(RUN.c.run_id == run_id)
        if lock:
            query = query.with_for_update()
        row = self.connection.execute(query).first()
        return None if row is None else _row(row)

    def runs(
        self,
        status: str | None = None,
        study: str | None = None,
        plugin: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> tuple[RunRow, ...]:
        """Return runs that match, newest first."""
        query = select(RUN).order_by(RUN.c.opened_at.desc(), RUN.c.run_id)
        if status is not None:
            query = query.where(RUN.c.status == status)
        if study is not None:
            query = query.where(RUN.c.study_instance_uid == study)
        if plugin is not None:
            query = query.where(RUN.c.plugin == plugin)
        return self._select(query.limit(limit).offset(offset))

    def runs_before(
        self,
        before: tuple[datetime, str] | None = None,
        *,
        status: str = "",
        plugin: str = "",
        limit: int = 50,
    ) -> tuple[RunRow, ...]:
        """Return runs newest first, from the one that is named on (keyset)."""
        query = select(RUN)
        if status:
            query = query.where(RUN.c.status == status)
        if plugin:
            query = query.where(RUN.c.plugin == plugin)
        if before is not None:
            moment, run_id = before
            same = (RUN.c.opened_at == moment) & (RUN.c.run_id < run_id)
            query = query.where(RUN.c.opened_at <= moment)
            query = query.where((RUN.c.opened_at < moment) | same)
        return self._select(
            query.order_by(RUN.c.opened_at.desc(), RUN.c.run_id.desc()).limit(limit)
        )

    def runs_named(self, run_ids: Iterable[str]) -> tuple[RunRow, ...]:
        """Return the runs of these ids that are known, newest first."""
        query = select(RUN).where(RUN.c.run_id.in_(list(run_ids)))
        return self._select(query.order_by(RUN.c.opened_at.desc(), RUN.c.run_id.desc()))

    def open_counts(self) -> dict[str, int]:
        """Return how many runs are in each open status, and how many failed."""
        statuses = (*OPEN_STATUSES, "failed")
        query = select(RUN.c.status, func.count()).where(RUN.c.status.in_(statuses))
        found = dict.fromkeys(statuses, 0)
        rows = self.connection.execute(query.group_by(RUN.c.status))
        return found | {str(status): int(count) for status, count in rows}

    def run_counts(self) -> dict[tuple[str, str, str], tuple[int, float]]:
        """Return for each (plugin, release digest, status) how many runs, and their seconds."""
        keys = (RUN.c.plugin, RUN.c.release_digest, RUN.c.status)
        spent_s = func.coalesce(func.sum(RUN.c.seconds), 0.0)
        rows = self.connection.execute(select(*keys, func.count(), spent_s).group_by(*keys))
        return {
            (str(plugin), str(digest), str(status)): (int(count), float(seconds))
            for plugin, digest, status, count, seconds in rows
        }

    def open_runs(
        self, *, release_digest: str | None = None, plugin: str | None = None
    ) -> tuple[RunRow, ...]:
        """Return the runs that are not over, of a release, a plugin or all; oldest first."""
        query = select(RUN).where(RUN.c.status.in_(OPEN_STATUSES))
        if release_digest is not None:
            query = query.where(RUN.c.release_digest == release_digest)
        if plugin is not None:
            query = query.where(RUN.c.plugin == plugin)
        return self._select(query.order_by(RUN.c.opened_at, RUN.c.run_id))

    def runs_of(self, release_digest: str, since: datetime | None = None) -> tuple[RunRow, ...]:
        """Return the runs of a release, since a moment or all, oldest first."""
        query = select(RUN).where(RUN.c.release_digest == release_digest)
        if since is not None:
            query = query.where(RUN.c.opened_at >= since)
        return self._select(query.order_by(RUN.c.opened_at, RUN.c.run_id))

    def open_run_count(self) -> int:
        """Return how many runs wait, run or are delivered."""
        query = select(func.count()).select_from(RUN).where(RUN.c.status.in_(OPEN_STATUSES))
        return int(self.connection.scalar(query) or 0)

    def runs_for_study(self, study_instance_uid: str, plugin: str) -> tuple[RunRow, ...]:
        """Return every run of a plugin on a study, oldest first."""
        query = select(RUN).where(
            RUN.c.study_instance_uid == study_instance_uid, RUN.c.plugin == plugin
        )
        return self._select(query.order_by(RUN.c.opened_at, RUN.c.run_id))

    def refused_for(
        self, codes: Iterable[str], since: datetime
    ) -> tuple[tuple[str, datetime, object], ...]:
        """Return the standing refusals of which a reason begins so: id, opening, and what tells
        that something came to the study since.  It is asked often, so no request is read."""
        seen = (STUDY.c.state, STUDY.c.generation, STUDY.c.instance_count_seen)
        same = (STUDY.c.pacs == RUN.c.pacs, STUDY.c.study_instance_uid == RUN.c.study_instance_uid)
        query = (
            select(RUN.c.run_id, RUN.c.opened_at, *seen)
            .select_from(RUN.outerjoin(STUDY, and_(*same)))
            .where(
                RUN.c.status == "refused",
                RUN.c.superseded_by.is_(None),
                or_(*(RUN.c.reason.contains(code, autoescape=True) for code in codes)),
                RUN.c.opened_at >= since,
            )
            .order_by(RUN.c.opened_at, RUN.c.run_id)
        )
        return tuple(
            (str(row.run_id), row.opened_at, (row.state, row.generation, row.instance_count_seen))
            for row in self.connection.execute(query)
        )

    def runs_marked(self, code: str) -> tuple[RunRow, ...]:
        """Return the standing answers that carry a mark, oldest first."""
        marked = select(RUN_MARK.c.run_id).where(RUN_MARK.c.code == code)
        query = select(RUN).where(
            RUN.c.run_id.in_(marked), RUN.c.status.in_(ANSWERED), RUN.c.superseded_by.is_(None)
        )
        rows = self._select(query.order_by(RUN.c.opened_at, RUN.c.run_id))
        return tuple(row for row in rows if not self.has_open_successor(row))

    def answers_since(self, since: datetime) -> tuple[tuple[str, str, datetime], ...]:
        """Return id, archive and closing of the standing answers since a moment, oldest first."""
        columns = (RUN.c.run_id, RUN.c.pacs, RUN.c.closed_at)
        query = select(*columns).where(
            RUN.c.closed_at >= since, RUN.c.status.in_(ANSWERED), RUN.c.superseded_by.is_(None)
        )
        rows = self.connection.execute(query.order_by(RUN.c.opened_at, RUN.c.run_id))
        return tuple((str(row.run_id), str(row.pacs), row.closed_at) for row in rows)

    def has_open_successor(self, row: RunRow) -> bool:
        """Return whether a run that will replace this one is still at work."""
        later = self.runs_for_study(row.study_instance_uid, row.plugin)
        return any(item.supersedes == row.run_id and item.status in OPEN_STATUSES for item in later)

    def request_of(self, run_id: str) -> RunRequest:
        """Return the request of a run; NotFoundError when the id is unknown."""
        return self._known_run(run_id).request

    def set_run_status(
        self, run_id: str, status: str, reason: str = "", at: datetime | None = None
    ) -> None:
        """Set how far a run is; a closed run that is queued again starts its next attempt.

        A closed run stays closed unless it is queued again, so that a step that a crash
        repeats does not open it.  ``at`` is the time of closing, by default this machine's.
        """
        row = self._known_run(run_id, lock=True)
        if row.status in CLOSED_STATUSES and status in OPEN_STATUSES and status != "queued":
            return  # only a person opens a closed run, by queueing it
        closed = _known(status) in CLOSED_STATUSES
        again = status == "queued" and row.status in CLOSED_STATUSES
        values: dict[str, Any] = {
            "status": status,
            "reason": reason,
            "attempts": row.attempts + int(again),
        }
        if closed or again:
            values["closed_at"] = (at or datetime.now(UTC)) if closed else None
        self._update(run_id, values)

    def begin_attempt(self, run_id: str, attempt: int) -> RunRow | None:
        """Mark an attempt as running and return the run; None when it is not its turn.

        An attempt that a crash interrupted begins again; one that is stale (a later attempt
        was made), or whose run was closed or discarded meanwhile, does not.
        """
        row = self.run(run_id, lock=True)
        if row is None or row.attempts != attempt or row.status not in _ATTEMPTABLE:
            return None
        self._update(run_id, {"status": "running"})
        return row

    def at_work(self, besides: str) -> int:
        """Return how many other runs of the site's archives are at work, on any machine.

        No other transaction counts until this one ends.
        """
        if self.connection.dialect.name == "postgresql":
            self.connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
        query = select(func.count()).select_from(RUN)
        query = query.where(RUN.c.status == "running", RUN.c.run_id != besides)
        return int(self.connection.scalar(query.where(RUN.c.pacs != FOLDER)) or 0)

    def put_retry(self, run_id: str, attempt: int, due: datetime, reason: str) -> None:
        """Let a run wait (after a retryable error) until its next attempt is due.

        A run that was closed meanwhile stays closed.
        """
        if self._known_run(run_id, lock=True).status in CLOSED_STATUSES:
            return
        values = {
            "status": "waiting", "attempts": attempt, "next_attempt_at": due, "reason": reason,
        }  # fmt: skip
        self._update(run_id, values)

    def due_runs(self, now: datetime) -> tuple[RunRow, ...]:
        """Return the waiting runs whose next attempt is due, oldest first."""
        query = select(RUN).where(RUN.c.status == "waiting", RUN.c.next_attempt_at <= now)
        return self._select(query.order_by(RUN.c.next_attempt_at, RUN.c.run_id))

    def set_input_digest(self, run_id: str, digest: str) -> None:
        """Keep the digest of the input; InputChangedError when another one is kept."""
        kept = self._known_run(run_id, lock=True).input_digest
        if kept not in (None, digest):
            raise InputChangedError(f"expected input {kept} for run {run_id}, found {digest}")
        self._update(run_id, {"input_digest": digest})

    def set_run_facts(self, run_id: str, facts: dict[str, Any]) -> None:
        """Keep what reading told of the input, for the inference record."""
        self._update(run_id, {"facts": json.dumps(facts, sort_keys=True)})

    def set_run_seconds(self, run_id: str, seconds: float) -> None:
        """Keep how long the worker took."""
        self._update(run_id, {"seconds": seconds})

    def mark_superseded(self, run_id: str, by_run_id: str) -> None:
        """Note that the results of a run are replaced by those of another."""
        self._known_run(run_id)
        self._update(run_id, {"superseded_by": by_run_id})

    def add_run_step(self, run_id: str, step: str, event_id: str) -> bool:
        """Note that a step of a run is recorded; False when it was before."""
        row = {"run_id": run_id, "step": step, "event_id": event_id}
        return put_if_absent(self.connection, RUN_STEP, row)

    def run_steps(self, run_id: str) -> dict[str, str]:
        """Return the recorded steps of a run with the event ids of their records."""
        query = select(RUN_STEP.c.step, RUN_STEP.c.event_id).where(RUN_STEP.c.run_id == run_id)
        return {str(step): str(event_id) for step, event_id in self.connection.execute(query)}

    def _select(self, query: Select[Any]) -> tuple[RunRow, ...]:
        return tuple(_row(row) for row in self.connection.execute(query))

    def _known_run(self, run_id: str, *, lock: bool = False) -> RunRow:
        row = self.run(run_id, lock=lock)
        if row is None:
            raise NotFoundError(f"expected a run with id {run_id}, found none")
        return row

    def _update(self, run_id: str, values: dict[str, Any]) -> None:
        self.connection.execute(update(RUN).where(RUN.c.run_id == run_id).values(**values))


def encode_request(request: RunRequest) -> str:
    """Return a request as JSON text; inverse of `decode_request`."""
    values = asdict(request)
    values["opened_at"] = request.opened_at.astimezone(UTC).isoformat()
    stated = request.prescription
    values["prescription"] = None if stated is None else prescriptions.encode(stated)
    return json.dumps(values, sort_keys=True)


def decode_request(text: str) -> RunRequest:
    """Return the request that `encode_request` wrote."""
    return RunRequest(**_request_values(text))


def _request_values(text: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(text)
    values["opened_at"] = datetime.fromisoformat(values["opened_at"])
    values["sop_instance_uids"] = tuple(values["sop_instance_uids"])
    if values["seed_point_mm"] is not None:
        values["seed_point_mm"] = tuple(values["seed_point_mm"])
    if values.get("prescription") is not None:
        values["prescription"] = prescriptions.decode(values["prescription"])
    return values


def _known(status: str) -> str:
    if status not in STATUSES:
        raise ValueError(f"expected a status in {STATUSES}, found {status!r}")
    return status


def _row(row: Row[Any]) -> RunRow:
    return RunRow(
        **_request_values(row.request),
        pacs=row.pacs,
        status=row.status,
        reason=row.reason,
        closed_at=row.closed_at,
        input_digest=row.input_digest,
        attempts=row.attempts,
        superseded_by=row.superseded_by,
        seconds=row.seconds,
        facts=json.loads(row.facts) if row.facts else {},
    )
