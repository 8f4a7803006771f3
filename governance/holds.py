"""Legal hold: what an incident concerns stays as it is until its cause can be judged.

AI Act Art. 73(6): nothing is done that could affect a later evaluation of the causes before
the authority is informed.  A hold freezes a release, the runs that are concerned with their
inputs, and the log: activation, purge and retirement are refused while it stands.  A stop is
always allowed; a rollback once the evidence was kept (`EvidenceSnapshot`).  This is the one
rule at a change of state: change control asks it nothing of its own.  That an authority was
informed opens nothing by itself; it lets a person lift the hold.

Source: REGULATORY.md section 4 (no activation during a hold except a certified rollback after
the evidence snapshot), row AIA-73.6.

Read next: `clocks.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from audit.errors import RecordError, RefusalError
from governance.gates import Objection, Passage
from governance.incident_form import incidents
from governance.incidents import DECIDERS, Act, Incident
from governance.ports import GovernedStore

KIND = "legal_hold"
SNAPSHOT = "evidence_snapshot"
SCHEMA = "osteon.legal-hold/1"
PLACERS = ("clinician", "physicist", "engineer", "approver")
_RUNNING = ("canary", "active")
_WAS_IN_USE = ("standby", "suspended")
_UNTRIAGED = ("suspected", "triaged")


@dataclass(frozen=True, slots=True)
class Hold:
    """What is frozen for one incident.

    Parameters
    ----------
    run_ids : runs whose inputs, documents and records are kept.
    subjects : pseudonyms of their patients, who cannot be erased meanwhile.
    lifted_at : when it was lifted; None while it stands.
    """

    incident_id: str
    site: str
    plugin: str
    release_digest: str
    run_ids: tuple[str, ...]
    subjects: tuple[str, ...]
    placed_at: datetime
    placed_by: str
    lifted_at: datetime | None = None
    lifted_by: str = ""
    lift_reason: str = ""

    @property
    def stands(self) -> bool:
        """Return whether it was not lifted."""
        return self.lifted_at is None


def place(found: Incident, subjects: Iterable[str], act: Act) -> Hold:
    """Return the hold of an incident; RefusalError for a role that may not place one."""
    _require_role(act, PLACERS)
    return Hold(
        incident_id=found.incident_id,
        site=found.site,
        plugin=found.plugin,
        release_digest=found.release_digest,
        run_ids=found.run_ids,
        subjects=tuple(sorted(set(subjects))),
        placed_at=act.at,
        placed_by=act.person,
    )


def lift(hold: Hold, found: Incident, act: Act, reason: str) -> Hold:
    """Return a hold that stands no longer.

    Raises
    ------
    RefusalError : another role, no reason, lifted before, or no authority was informed and it
        was not decided that none need be.
    """
    _require_role(act, DECIDERS)
    if not hold.stands or not reason.strip():
        raise RefusalError(
            "expected a hold that stands, and a reason", reasons=("EVIDENCE_MISSING",)
        )
    if not found.informed:
        raise RefusalError(
            "expected an authority informed, or the decision that none need be, found neither",
            reasons=("AUTHORITY_NOT_INFORMED",),
            advice="Decide reportability and record the report first (AI Act Art. 73(6)).",
        )
    return replace(hold, lifted_at=act.at, lifted_by=act.person, lift_reason=reason.strip())


def hold_gate(passage: Passage, documents: GovernedStore) -> tuple[Objection, ...]:
    """Object to what would change the subject of an incident; a `governance.gates.Gate`."""
    if passage.after in ("suspended", passage.before):
        return ()
    found: list[Objection] = []
    for hold in standing(documents):
        if (hold.site, hold.plugin) == (passage.site, passage.plugin):
            found += _objections(passage, hold, documents)
    found += _without_hold(passage, documents)
    return tuple(found)


def standing(documents: GovernedStore) -> tuple[Hold, ...]:
    """Return the holds that stand, by incident."""
    holds = (decode(item.content) for item in documents.governed_all(KIND))
    return tuple(hold for hold in holds if hold.stands)


def hold_of(documents: GovernedStore, incident_id: str) -> Hold | None:
    """Return the hold of an incident, whether it stands or not; None when it has none."""
    document = documents.governed(KIND, incident_id)
    return None if document is None else decode(document.content)


def refuse_purge(
    documents: GovernedStore,
    *,
    release_digest: str = "",
    run_ids: Iterable[str] = (),
    subjects: Iterable[str] = (),
) -> None:
    """Return when nothing named is held; whoever deletes or erases asks first.

    Raises
    ------
    RefusalError : HOLD_OPEN with the incidents; nothing may be removed.
    """
    runs, patients = set(run_ids), set(subjects)
    open_for = [
        hold.incident_id
        for hold in standing(documents)
        if release_digest == hold.release_digest
        or runs & set(hold.run_ids)
        or patients & set(hold.subjects)
    ]
    if open_for:
        raise RefusalError(
            f"a legal hold stands for {', '.join(open_for)}; nothing of it may be removed",
            reasons=("HOLD_OPEN",),
            advice="Wait until the hold is lifted: `osteon incident show`.",
        )


def snapshot_kept(documents: GovernedStore, incident_id: str) -> bool:
    """Return whether a complete evidence snapshot of an incident is on record."""
    document = documents.governed(SNAPSHOT, incident_id)
    return document is not None and document.content.get("complete") is True


def encode(hold: Hold) -> dict[str, Any]:
    """Return a hold as JSON values; inverse of `decode`."""
    return {
        "schema": SCHEMA,
        **asdict(hold),
        "run_ids": list(hold.run_ids),
        "subjects": list(hold.subjects),
        "placed_at": _text(hold.placed_at),
        "lifted_at": None if hold.lifted_at is None else _text(hold.lifted_at),
    }


def decode(content: Mapping[str, Any]) -> Hold:
    """Return the hold that a document states; RecordError when it states none."""
    values = dict(content)
    try:
        if values.pop("schema") != SCHEMA:
            raise ValueError("schema")
        lifted = values["lifted_at"]
        values["run_ids"] = tuple(values["run_ids"])
        values["subjects"] = tuple(values["subjects"])
        values["placed_at"] = datetime.fromisoformat(values["placed_at"])
        values["lifted_at"] = None if lifted is None else datetime.fromisoformat(lifted)
        return Hold(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"expected a document of {SCHEMA}, found another") from error


def _objections(passage: Passage, hold: Hold, documents: GovernedStore) -> list[Objection]:
    """Return what one hold objects to a passage of its plugin."""
    own = passage.release_digest == hold.release_digest
    leaves = own and passage.after == "standby"
    if own and not leaves:
        return [_hold_open(hold)]
    if not leaves and passage.after not in _RUNNING:
        return []
    found = []
    if not snapshot_kept(documents, hold.incident_id):
        found.append(
            Objection(
                "SNAPSHOT_MISSING",
                f"expected the evidence of {hold.incident_id} kept before another release takes "
                "over, found none",
                f"Keep it: `osteon incident snapshot {hold.incident_id}`.",
            )
        )
    if not leaves and passage.before not in _WAS_IN_USE:
        found.append(_hold_open(hold))  # a change, no way back: when the hold is lifted
    return found


def _without_hold(passage: Passage, documents: GovernedStore) -> list[Objection]:
    """Return an objection for each incident that nobody has held yet.

    It stands in the way of its own release, and of another of the plugin that would take over.
    """
    return [
        Objection(
            "HOLD_NOT_PLACED",
            f"incident {item.incident_id} concerns this plugin and has no hold yet",
            "Triage the incident and place the hold before the release is changed.",
        )
        for item in incidents(documents)
        if (item.site, item.plugin) == (passage.site, passage.plugin)
        and (item.release_digest == passage.release_digest or passage.after in _RUNNING)
        and item.state in _UNTRIAGED
        and hold_of(documents, item.incident_id) is None
    ]


def _hold_open(hold: Hold) -> Objection:
    return Objection(
        "HOLD_OPEN",
        f"a legal hold stands for {hold.incident_id}",
        "Stop the release if it must not run; change it when the hold is lifted.",
    )


def _require_role(act: Act, roles: tuple[str, ...]) -> None:
    if act.role not in roles:
        raise RefusalError(
            f"role {act.role} is not one of {', '.join(roles)}", reasons=("ROLE_NOT_PERMITTED",)
        )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
