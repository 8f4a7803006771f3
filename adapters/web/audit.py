"""The audit page: the log as a timeline, searched by what a record says; one record; verify.

Read next: `templates/audit.html`, `verifying.py`, `searches.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from starlette.responses import Response

from adapters.database.search import RecordLine, Wanted
from adapters.log_key import log_keys
from adapters.web.formats import clock_time, day, read_moment, short_digest
from adapters.web.searches import kept_searches, search_routes
from adapters.web.shell import Pages
from adapters.web.verifying import verify_routes
from adapters.web.visit import catch_up, note_access
from audit.checkpoint import verify
from audit.errors import LogTamperedError, NotFoundError
from audit.merkle import check_inclusion, leaf_hash, prove_inclusion
from audit.tombstone import is_tombstone
from governance.log_fields import KINDS as MEANINGS

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction

PAGE_SIZE = 50
FILTERS = ("kind", "plugin", "release", "patient", "person", "since", "until", "failed")
_SAYING = {
    "access": ("what", "purpose"), "account": ("action", "account"), "assessment": ("action",),
    "configuration_change": ("setting",), "evidence": ("incident",), "explanation": ("method",),
    "fault": ("code", "where"), "governed": ("document",), "guard": ("guard", "verdict"),
    "incident": ("action", "state"), "legal_hold": ("action",), "lifecycle": ("action", "to_state"),
    "release": ("action", "version"), "run_closed": ("status",), "run_opened": ("trigger",),
    "stop": ("scope", "action"), "study_event": ("change",), "by_hand": ("action",),
    "cohort": ("action",), "replay": ("verdict",), "comparison": ("outcome",), "clock": ("event",),
}  # fmt: skip
"""Kind -> keys of the body that say in a word what happened."""
_TONES = {0: "good", 4: "wait", 8: "bad", 12: "bad"}


@dataclass(frozen=True, slots=True)
class TimelineLine:
    """One record in the timeline."""

    leaf_index: int
    at: str
    kind: str
    mode: str
    outcome: int
    tone: str
    detail: str
    actor: str
    plugin: str
    release_digest: str
    release: str
    run_id: str
    patient: str
    pseudonym: str


@dataclass(frozen=True, slots=True)
class AuditPage:
    """The timeline, by days, and its filters."""

    days: tuple[tuple[str, tuple[TimelineLine, ...]], ...]
    wanted: Mapping[str, str]
    kinds: tuple[str, ...]
    plugins: tuple[str, ...]
    persons: tuple[str, ...]
    zone: str
    query: str
    newest: str | None
    older: str | None
    behind: int
    tree_size: int
    saved: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RecordPage:
    """One record, and how it is proved to be in the log."""

    leaf_index: int
    kind: str
    meaning: tuple[str, str]
    event_id: str
    run_id: str
    fields: tuple[tuple[str, str], ...]
    raw: str
    leaf_hash: str
    proof: tuple[str, ...]
    tree_size: int
    root_hash: str
    note: str
    is_included: bool
    is_signed: bool
    last: int


def audit_page(site: Site, given: Mapping[str, str], before: str) -> AuditPage:
    """Return the records that are asked for, newest first."""
    zone = site.configuration.site.time_zone
    wanted = {key: given.get(key, "").strip() for key in FILTERS}
    asked = Wanted(
        kind=wanted["kind"],
        plugin=wanted["plugin"],
        release=wanted["release"],
        patient=wanted["patient"],
        person=wanted["person"],
        since=read_moment(wanted["since"], zone),
        until=read_moment(wanted["until"], zone),
        failed=bool(wanted["failed"]),
    )
    place = int(before) if before.isdecimal() else None
    with site.database.reading() as transaction:
        rows = transaction.search_records(asked, before=place, limit=PAGE_SIZE + 1)
        said = details(transaction, rows[:PAGE_SIZE])
        kinds, plugins = transaction.record_kinds(), transaction.record_plugins()
        persons = transaction.record_actors()
        size = transaction.tree_size()
        behind = size - transaction.line_count()
    query = {key: value for key, value in wanted.items() if value}
    older = {**query, "before": rows[PAGE_SIZE - 1].leaf_index} if len(rows) > PAGE_SIZE else None
    return AuditPage(
        days=_by_day(rows[:PAGE_SIZE], zone, said),
        wanted=wanted,
        kinds=kinds,
        plugins=plugins,
        persons=persons,
        zone=zone,
        query=urlencode(query),
        newest=urlencode(query) if place is not None else None,
        older=urlencode(older) if older else None,
        behind=behind,
        tree_size=size,
    )


def record_page(site: Site, leaf_index: int) -> RecordPage:
    """Return one record with its proof; NotFoundError when there is none."""
    with site.database.reading() as transaction:
        leaf = next(iter(transaction.leaves(leaf_index, leaf_index + 1)), None)
        if leaf is None:
            raise NotFoundError(f"expected a record at {leaf_index}, found none")
        size, note = _tree_of(transaction, leaf_index)
        proof = prove_inclusion(leaf_index, size, transaction.nodes)
        root = site.log.head(transaction).root_hash if not note else b""
        last, keys = transaction.tree_size() - 1, log_keys(site.keys, transaction)
    signed = False
    if note:
        try:
            claimed = verify(note, keys)
            root, signed = claimed.root_hash, claimed.size == size
        except LogTamperedError:
            root = b""
    stated = json.loads(leaf.leaf)
    gone = is_tombstone(leaf.leaf)
    value = bytes.fromhex(stated["leaf_hash"]) if gone else leaf_hash(leaf.leaf)
    return RecordPage(
        leaf_index=leaf_index,
        kind=stated["kind"],
        meaning=MEANINGS.get(stated["kind"], ("", "")),
        event_id=stated["event_id"],
        run_id=stated.get("run_id", ""),
        fields=tuple(flattened(stated)),
        raw=json.dumps(stated, indent=1, sort_keys=True, ensure_ascii=False),
        leaf_hash=value.hex(),
        proof=tuple(item.hex() for item in proof),
        tree_size=size,
        root_hash=root.hex(),
        note=note,
        is_included=_holds(leaf_index, size, value, proof, root),
        is_signed=signed,
        last=last,
    )


def audit_routes(app: FastAPI, view: Pages) -> None:
    """Add the pages of the log."""
    search_routes(app)
    verify_routes(app, view)

    @app.get("/audit")
    def audit(request: Request, before: str = "") -> Response:
        note_access(view.site, request, "audit-log", "search")
        catch_up(view.site)
        page = audit_page(view.site, request.query_params, before)
        return view.render(request, "audit.html", page=page, saved=kept_searches(request))

    @app.get("/audit/records/{leaf_index}")
    def record(request: Request, leaf_index: int) -> Response:
        page = record_page(view.site, leaf_index)
        note_access(view.site, request, "audit-record", "review", run_id=page.run_id or None)
        return view.render(request, "record.html", page=page)


def flattened(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted path, text) of every value of a record; lists of plain values in one line."""
    if isinstance(value, Mapping):
        for key in value:
            yield from flattened(value[key], f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
        for number, item in enumerate(value):
            yield from flattened(item, f"{path}[{number}]")
    elif isinstance(value, list):
        yield path, ", ".join(str(item) for item in value) or "–"
    else:
        yield path, "–" if value in (None, "") else str(value)


def details(transaction: Transaction, rows: Sequence[RecordLine]) -> Mapping[int, str]:
    """Return by leaf index the word of each record that says what happened."""
    leaves = transaction.leaves_at([row.leaf_index for row in rows])
    found = {}
    for index, leaf in leaves.items():
        record = json.loads(leaf)
        body, names = record["body"], _SAYING.get(record["kind"], ())
        words = [str(body[name]) for name in names if body.get(name) not in (None, "")]
        found[index] = " · ".join(words)[:80]
    return found


def timeline_line(row: RecordLine, zone: str, said: Mapping[int, str]) -> TimelineLine:
    """Return a record as the timeline shows it."""
    return TimelineLine(
        leaf_index=row.leaf_index,
        at=clock_time(row.recorded_at, zone),
        kind=row.kind,
        mode=row.mode,
        outcome=row.outcome,
        tone=_TONES.get(row.outcome, "wait"),
        detail=said.get(row.leaf_index, ""),
        actor=_actor(row.actor),
        plugin=row.plugin or "",
        release_digest=row.release_digest or "",
        release=short_digest(row.release_digest) if row.release_digest else "",
        run_id=row.run_id or "",
        patient=short_digest(row.pseudonym) if row.pseudonym else "",
        pseudonym=row.pseudonym or "",
    )


def _actor(name: str) -> str:
    if name.startswith("reviewer:"):
        return name[: len("reviewer:") + 8]
    return name.removeprefix("account:")


def _by_day(
    rows: tuple[RecordLine, ...], zone: str, said: Mapping[int, str]
) -> tuple[tuple[str, tuple[TimelineLine, ...]], ...]:
    groups = groupby(rows, key=lambda row: day(row.recorded_at, zone))
    return tuple(
        (name, tuple(timeline_line(row, zone, said) for row in found)) for name, found in groups
    )


def _tree_of(transaction: Transaction, leaf_index: int) -> tuple[int, str]:
    """Return the size of the signed tree that holds a record, and its note; else the tree."""
    checkpoint = transaction.last_checkpoint()
    if checkpoint is not None and checkpoint.tree_size > leaf_index:
        return checkpoint.tree_size, checkpoint.note
    return transaction.tree_size(), ""


def _holds(index: int, size: int, value: bytes, proof: tuple[bytes, ...], root: bytes) -> bool:
    try:
        check_inclusion(value, index, size, proof, root)
    except LogTamperedError:
        return False
    return True
