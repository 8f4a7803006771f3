"""One person's acts on a release: the table is asked, then the gates; state and record together.

Stopping is never refused by a gate.

Read next: `approving.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from adapters.database import Transaction
from adapters.governance.draining import Drained, drain, tidy
from adapters.governance.persons import Person, decision_of
from audit.errors import NotFoundError, RefusalError, ReleaseError
from governance.approvals import builders, require_not_builder
from governance.deployment import (
    CERTIFIED,
    Changed,
    Decision,
    known,
    move,
    past_of,
    predecessors,
    registered_by,
    waiver,
)
from governance.gates import Passage, require_passage
from governance.lifecycle import WAIVER, Transition, check_transition, transition
from governance.ports import Deployment

if TYPE_CHECKING:
    from adapters.compose import Site

UNGATED = ("suspend",)
_VERIFIED = ("shadow", "canary", "activate", "waive")


@dataclass(frozen=True, slots=True)
class Subject:
    """A release before an act: its state, the row of the table, its manifest, its builders."""

    present: Deployment
    row: Transition
    manifest: Mapping[str, Any]
    builders: frozenset[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an act changed: states, the subject's last, and what became of open runs."""

    changed: tuple[Changed, ...]
    drained: Drained

    @property
    def deployment(self) -> Deployment:
        """Return the new state of the release that the act was about."""
        return self.changed[-1].deployment


def act(
    site: Site, action: str, digest: str, person: Person, evidence: Mapping[str, str]
) -> Deployment:
    """Do what one person decides with a release, and return its new state.

    Raises
    ------
    NotFoundError : the release is not registered here.
    RefusalError : the table or a gate does not permit it, with every reason; nothing changed.
    """

    def write(transaction: Transaction) -> Outcome:
        return change(site, transaction, action, digest, decision_of(site, person), evidence)

    return commit(site, write, action, digest, person).deployment


def commit(
    site: Site, write: Callable[[Transaction], Outcome], action: str, digest: str, person: Person
) -> Outcome:
    """Take a decision in a transaction, then let go what its runs had staged.

    A release on its way into use is verified before, byte by byte, with its signature.  A
    refusal goes on record: who tried what with which release.
    """
    with refusals_recorded(site, action, digest, person):
        if action in _VERIFIED:
            site.registry.verify(digest)
        outcome = site.database.run(write)
    tidy(site, outcome.drained)
    return outcome


@contextmanager
def refusals_recorded(site: Site, action: str, digest: str, person: Person) -> Iterator[None]:
    """Let a refusal through, and put on record who tried what and why it was refused."""
    try:
        yield
    except (RefusalError, ReleaseError) as refusal:
        reasons = getattr(refusal, "reasons", ()) or (refusal.code,)

        def write(transaction: Transaction) -> str:
            return site.journal.refused_act(transaction, action, digest, reasons, person.account_id)

        site.database.run(write)
        raise


def waive(site: Site, digest: str, person: Person, reason: str, lasts: timedelta) -> Deployment:
    """Make a release active in research mode on a person's recorded waiver."""
    decision = decision_of(site, person)
    evidence = waiver(decision, reason, decision.decided_at + lasts)
    return act(site, "waive", digest, person, evidence)


def change(
    site: Site,
    transaction: Transaction,
    action: str,
    digest: str,
    decision: Decision,
    evidence: Mapping[str, str],
    *,
    leave: str = "supersede",
) -> Outcome:
    """Change a release's state in the caller's transaction, and record all that changed."""
    subject = subject_of(transaction, action, digest, decision)
    check_transition(subject.row, decision.role, evidence, decision.mode)
    if len(subject.row.persons) > 1:
        raise RefusalError(
            f"expected {len(subject.row.persons)} persons for {action}, found one",
            reasons=("FOUR_EYES",),
            advice="Let each of them sign: `osteon governance approve`.",
        )
    require_not_builder(subject.row, decision.person, subject.builders)
    ask_gates(site, transaction, subject, decision, evidence)
    return write_down(site, transaction, subject, decision, evidence, leave=leave)


def subject_of(transaction: Transaction, action: str, digest: str, decision: Decision) -> Subject:
    """Return a release with the row of an act, locked against other decisions."""
    transaction.lock_deployments()
    present = known(transaction, decision.site, digest)
    row = transition(action, present.state, past_of(transaction, present))
    kept = transaction.release(digest)
    if kept is None:
        raise NotFoundError(f"expected release {digest} to lie at this site, found none")
    manifest = json.loads(kept.manifest)
    by = registered_by(transaction, present)
    return Subject(present, row, manifest, builders(manifest, by))


def ask_gates(
    site: Site,
    transaction: Transaction,
    subject: Subject,
    decision: Decision,
    evidence: Mapping[str, str],
) -> None:
    """Return when no gate objects; a stop is not asked for."""
    if subject.row.action in UNGATED:
        return
    kept = {k: v for k, v in subject.present.evidence.items() if k in (*CERTIFIED, *WAIVER)}
    if "certificate" in evidence or "expires_at" in evidence:
        kept = {}
    passage = Passage(
        site=decision.site,
        mode=decision.mode,
        plugin=subject.present.plugin,
        release_digest=subject.present.release_digest,
        manifest=subject.manifest,
        before=subject.present.state,
        after=subject.row.after,
        person=decision.person,
        role=decision.role,
        decided_at=decision.decided_at,
        evidence={**kept, **evidence, "action": subject.row.action},
        predecessors=predecessors(transaction, subject.present),
    )
    require_passage(site.gates, passage, transaction)


def write_down(
    site: Site,
    transaction: Transaction,
    subject: Subject,
    decision: Decision,
    evidence: Mapping[str, str],
    *,
    leave: str = "supersede",
) -> Outcome:
    """Put the new states and their records, and drain what leaves."""
    changed = move(transaction, decision, subject.present, subject.row, evidence, leave=leave)
    drained = Drained()
    for item in changed:
        site.journal.lifecycle(transaction, item.deployment, item.action)
        way = item.action
        if subject.row.action == "rollback" and item.action != "rollback":
            way = "rollback-suspend" if leave == "suspend" else "rollback"
        elif item.action not in ("supersede", "suspend", "retire"):
            continue
        digest = item.deployment.release_digest
        drained += drain(
            site, transaction, transaction.open_runs(release_digest=digest), way,
            f"RELEASE_{item.deployment.state.upper()}", _heir(changed, digest),
        )  # fmt: skip
    return Outcome(changed, drained)


def _heir(changed: tuple[Changed, ...], left: str) -> str:
    """Return the release that becomes active in the same act; empty where none does."""
    return next(
        (
            item.deployment.release_digest
            for item in changed
            if item.deployment.state == "active" and item.deployment.release_digest != left
        ),
        "",
    )
