"""Whether a site has commissioned a release: signed by a physicist, of this release, in its time.

A certificate says what a release is worth on the patients of its cohort; a commissioning says
that this site has tried it on its own: its cases, its protocol, its scanners, from end to end.
In clinical mode no release comes into use without one (`CommissioningGate`), and a case of a
scanner that it does not name is refused, as one after its end is.  In research mode the absence
is shown and bars nothing.

Governed documents, each sealed by the site's key: ``commissioning_plan`` and
``commissioning_run`` by the id of the plan, ``commissioning`` by release digest (who signed what
until when), ``commissioning_routine`` by release digest (what was found by routine QA).

Source: as of `commissioning_plan.py`; REGULATORY.md ESTRO-1 ("site cannot go live without signed
commissioning; overdue routine QA disables").

Read next: `gates.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from audit.errors import SignatureError
from governance.commissioning_plan import Scanner
from governance.gates import Objection, Passage
from governance.ports import GovernedStore
from governance.sealed import open_sealed
from governance.signing import TrustedKey
from governance.strata import CaseFacts

PLAN, RUN, SIGNED = "commissioning_plan", "commissioning_run", "commissioning"
ROUTINE = "commissioning_routine"
SIGNERS = ("physicist",)
"""Who signs: the medical physicist, who answers for the equipment of treatment."""
RUNNERS = ("physicist", "engineer", "approver", "compliance")
OTHER_SCANNER, UNKNOWN_SCANNER = "SCANNER_NOT_COMMISSIONED", "SCANNER_UNKNOWN"
_IN_USE = ("canary", "active")
_BACK = ("standby", "suspended")
_AGAIN = "Commission the release at this site: `osteon validate commission plan`."
ADVICE: Mapping[str, str] = {
    "COMMISSIONING_MISSING": _AGAIN,
    "COMMISSIONING_SIGNATURE": "Do not rely on it: find out who changed it, and commission again.",
    "COMMISSIONING_OTHER_SITE": "What another site showed counts there: commission it here.",
    "COMMISSIONING_WITHDRAWN": "Remove the reason why it was withdrawn, and commission again.",
    "COMMISSIONING_EXPIRED": _AGAIN,
    "ROUTINE_FAILED": "Find out what changed (scanner, protocol, machine); then commission again.",
    "ROUTINE_OVERDUE": "Ask the baseline again: `osteon validate commission routine RELEASE`.",
}
"""Code of each objection and what the operator can do about it."""


@dataclass(frozen=True, slots=True)
class Commissioned:
    """How a release stands at the site.

    Parameters
    ----------
    objections : why it does not count now; none where it does.
    scanners : for which it speaks; empty where there is none.
    expires_at, routine_due_at : None where there is none.
    """

    objections: tuple[Objection, ...]
    plan_id: str = ""
    scanners: tuple[Scanner, ...] = ()
    signed_by: str = ""
    signed_at: datetime | None = None
    expires_at: datetime | None = None
    routine_due_at: datetime | None = None
    content: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_there(self) -> bool:
        """Return whether the site ever signed one for this release."""
        return bool(self.content)


def commissioned(
    documents: GovernedStore,
    release_digest: str,
    site: str,
    now: datetime,
    trust: tuple[TrustedKey, ...],
) -> Commissioned:
    """Return how a release stands; every reason against it at once."""
    document = documents.governed(SIGNED, release_digest)
    if document is None:
        return Commissioned((_objection("COMMISSIONING_MISSING", "this site signed none"),))
    try:
        content = open_sealed(document.content, trust)
    except SignatureError as error:
        return Commissioned(
            (_objection("COMMISSIONING_SIGNATURE", f"its seal does not hold: {error.code}"),),
            content=document.content,
        )
    expires_at = datetime.fromisoformat(content["expires_at"])
    signed_at = datetime.fromisoformat(content["signed_at"])
    last, failed = _last_routine(documents, content, trust, signed_at)
    due = last + timedelta(days=int(content["routine_days"]))
    found = []
    if content["site"] != site or content["release_digest"] != release_digest:
        found.append(_objection("COMMISSIONING_OTHER_SITE", "it is of another site or release"))
    if content["state"] != "valid":
        found.append(_objection("COMMISSIONING_WITHDRAWN", "it was withdrawn"))
    if now >= expires_at:
        found.append(_objection("COMMISSIONING_EXPIRED", f"it ended on {expires_at:%Y-%m-%d}"))
    if failed:
        found.append(_objection("ROUTINE_FAILED", "routine QA found other answers"))
    elif now >= due:
        found.append(_objection("ROUTINE_OVERDUE", f"routine QA was due on {due:%Y-%m-%d}"))
    return Commissioned(
        tuple(found),
        plan_id=str(content["plan_id"]),
        scanners=tuple(Scanner(**item) for item in content["scanners"]),
        signed_by=str(content["signed_by"]),
        signed_at=signed_at,
        expires_at=expires_at,
        routine_due_at=due,
        content=content,
    )


def bars(found: Commissioned, facts: CaseFacts) -> tuple[str, ...]:
    """Return what a commissioning says against a case; nothing where the site signed none.

    A release that was in use before sites commissioned goes on until it is; what is signed counts
    from then on.
    """
    if not found.is_there:
        return ()
    reasons = [item.code for item in found.objections]
    answers = [scanner.made(facts) for scanner in found.scanners]
    if True not in answers:
        reasons.append(UNKNOWN_SCANNER if None in answers else OTHER_SCANNER)
    return tuple(reasons)


@dataclass(frozen=True, slots=True)
class CommissioningGate:
    """Objects to clinical use of a release that the site has not commissioned; fulfils `Gate`.

    The way back to a release that was in use stays open: what runs now was no better tried.
    """

    trust: Callable[[], tuple[TrustedKey, ...]]

    def __call__(self, passage: Passage, documents: GovernedStore) -> tuple[Objection, ...]:
        """Return why the site's commissioning does not permit the passage."""
        if passage.mode != "clinical" or passage.after not in _IN_USE or passage.before in _BACK:
            return ()
        return commissioned(
            documents, passage.release_digest, passage.site, passage.decided_at, self.trust()
        ).objections


def _last_routine(
    documents: GovernedStore,
    content: Mapping[str, Any],
    trust: tuple[TrustedKey, ...],
    signed_at: datetime,
) -> tuple[datetime, bool]:
    """Return when the baseline was last asked since the signature, and whether it differed.

    A routine document that does not open counts as one that failed.
    """
    last = signed_at
    document = documents.governed(ROUTINE, str(content["release_digest"]))
    if document is None:
        return last, False
    try:
        found = open_sealed(document.content, trust)
    except SignatureError:
        return last, True
    if found["plan_id"] != content["plan_id"]:
        return last, False
    return max(last, datetime.fromisoformat(found["at"])), found["verdict"] != "pass"


def _objection(code: str, text: str) -> Objection:
    return Objection(code, text, ADVICE[code])
