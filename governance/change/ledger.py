"""The change request: one decided change, as it is kept at a site and counted.

A change request is a governed document of kind ``change_request`` named by the digest of
the new release.  Together the requests of a plugin are its ledger: how far it has moved
from the certified baseline, how often the sealed set was looked at, whether its legacy
status has ended.  A request that was withdrawn no longer counts as an update, but what it
looked at stays looked at.

Source: REGULATORY.md rows AIA-43.4, MDR-IX, MDR-UDI and section 4.

Read next: `budget.py`, `gates.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from governance.change_control import FLAGS, ChangeFlags
from governance.ports import GovernedDocument, GovernedStore
from governance.reading import Table

REQUEST, BASELINE, PLAN, RUN, ROLLBACK = (
    *("change_request", "change_baseline", "change_plan", "protocol_run", "rollback_request"),
)
"""Kinds of governed documents of change control."""
SCHEMA = "osteon.change_request/1"


@dataclass(frozen=True, slots=True)
class Baseline:
    """The certified release of a plugin that changes are counted against."""

    plugin: str
    release_digest: str
    certificate_id: str
    certified_at: datetime


@dataclass(frozen=True, slots=True)
class Reference:
    """What the notified body gave for a change.

    Parameters
    ----------
    kind : change_approval (serves D2) | certificate (serves D2 and D3).
    """

    kind: str
    reference_id: str
    valid_from: datetime
    valid_until: datetime

    def holds(self, at: datetime) -> bool:
        """Tell whether it is valid at a moment."""
        return self.valid_from <= at < self.valid_until


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """One change as it was decided.

    Parameters
    ----------
    flags : what was known; the class is decided from them again whenever it counts.
    kinds : keys of the rows of the table.
    report_digest : the validation report that its figures are of; empty where there was none.
    facts : everything else that a reader needs: reasons, evidence, statements, UDI.
    alpha : statistical error spent; sealed_set_digest, refreshed_fraction: see `Report`.
    new_data_fraction : share of training patients that the baseline had not.
    """

    plugin: str
    old_digest: str
    new_digest: str
    baseline_digest: str
    plan_digest: str
    change_class: str
    kinds: tuple[str, ...]
    flags: ChangeFlags
    recorded_at: datetime
    report_digest: str = ""
    per_update: Mapping[str, float] = field(default_factory=dict)
    vs_baseline: Mapping[str, float] = field(default_factory=dict)
    alpha: float | None = None
    sealed_set_digest: str = ""
    refreshed_fraction: float = 0.0
    new_data_fraction: float | None = None
    withdrawn: bool = False
    references: tuple[Reference, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_update(self) -> bool:
        """Tell whether it moves the release away from the baseline (D1 or D2, not withdrawn)."""
        return self.change_class in ("D1", "D2") and not self.withdrawn

    def standing(self, at: datetime) -> ChangeFlags:
        """Return the flags with the references that are valid at a moment."""
        held = {item.kind for item in self.references if item.holds(at)}
        return replace(
            self.flags,
            change_approved="change_approval" in held,
            newly_certified="certificate" in held,
        )


def encode(request: ChangeRequest) -> dict[str, Any]:
    """Return the content of the governed document; inverse of `decode`."""
    content = asdict(request)
    content |= {
        "schema": SCHEMA,
        "kinds": list(request.kinds),
        "recorded_at": request.recorded_at.isoformat(),
        "references": [
            {
                "kind": item.kind,
                "reference_id": item.reference_id,
                "valid_from": item.valid_from.isoformat(),
                "valid_until": item.valid_until.isoformat(),
            }
            for item in request.references
        ],
        "facts": dict(request.facts),
    }
    return content


def decode(content: Mapping[str, Any]) -> ChangeRequest:
    """Return the change request in a governed document; ConfigurationError where it is none."""
    row = Table("change_request", content)
    if row.text("schema") != SCHEMA:
        raise row.fault("schema", SCHEMA)
    flags = row.table("flags")
    spent = content.get("alpha"), content.get("new_data_fraction")
    return ChangeRequest(
        plugin=row.text("plugin"),
        old_digest=row.text("old_digest"),
        new_digest=row.text("new_digest"),
        baseline_digest=row.text("baseline_digest", ""),
        plan_digest=row.text("plan_digest", ""),
        change_class=row.text("change_class"),
        kinds=row.texts("kinds"),
        flags=ChangeFlags(**{name: flags.flag(name, getattr(_WORST, name)) for name in FLAGS}),
        recorded_at=_moment(row, "recorded_at"),
        report_digest=row.text("report_digest", ""),
        per_update=row.numbers("per_update"),
        vs_baseline=row.numbers("vs_baseline"),
        alpha=None if spent[0] is None else row.number("alpha"),
        sealed_set_digest=row.text("sealed_set_digest", ""),
        refreshed_fraction=row.number("refreshed_fraction", 0.0),
        new_data_fraction=None if spent[1] is None else row.number("new_data_fraction"),
        withdrawn=row.flag("withdrawn", default=False),
        references=tuple(_reference(item) for item in row.tables("references")),
        facts=row.table("facts").content,
    )


_WORST = ChangeFlags()


def ledger(documents: GovernedStore, plugin: str) -> tuple[ChangeRequest, ...]:
    """Return every change request of a plugin, oldest first.

    A release that was classified again by another report looked at the sealed set again: its
    earlier revisions stand in the ledger too, withdrawn, so that the look stays counted.
    """
    found: list[ChangeRequest] = []
    for item in documents.governed_all(REQUEST):
        if item.content.get("plugin") != plugin:
            continue
        newest = decode(item.content)
        looks = {newest.report_digest: newest}
        for revision in documents.governed_history(REQUEST, item.name):
            earlier = decode(revision.content)
            looks.setdefault(earlier.report_digest, replace(earlier, withdrawn=True))
        found += looks.values()
    return tuple(sorted(found, key=lambda item: (item.recorded_at, item.new_digest)))


def request_of(documents: GovernedStore, release_digest: str) -> ChangeRequest | None:
    """Return the change request of a release, None where nobody made one."""
    found = documents.governed(REQUEST, release_digest)
    return None if found is None else decode(found.content)


def baseline_of(documents: GovernedStore, plugin: str) -> Baseline | None:
    """Return the certified baseline of a plugin, None where none was named."""
    found = documents.governed(BASELINE, plugin)
    return None if found is None else decode_baseline(found)


def encode_baseline(baseline: Baseline) -> dict[str, Any]:
    """Return the content of the governed document; inverse of `decode_baseline`."""
    return {
        "plugin": baseline.plugin,
        "release_digest": baseline.release_digest,
        "certificate_id": baseline.certificate_id,
        "certified_at": baseline.certified_at.isoformat(),
    }


def decode_baseline(document: GovernedDocument) -> Baseline:
    """Return the baseline in a governed document."""
    row = Table("change_baseline", document.content)
    return Baseline(
        plugin=row.text("plugin"),
        release_digest=row.text("release_digest"),
        certificate_id=row.text("certificate_id"),
        certified_at=_moment(row, "certified_at"),
    )


def _reference(row: Table) -> Reference:
    return Reference(
        kind=row.text("kind"),
        reference_id=row.text("reference_id"),
        valid_from=_moment(row, "valid_from"),
        valid_until=_moment(row, "valid_until"),
    )


def _moment(row: Table, key: str) -> datetime:
    try:
        found = datetime.fromisoformat(row.text(key))
    except ValueError as error:
        raise row.fault(key, "a time in ISO 8601 with zone") from error
    if found.tzinfo is None:
        raise row.fault(key, "a time in ISO 8601 with zone")
    return found
