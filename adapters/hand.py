"""What persons do by hand: queue, retry, force, discard a run.

Every act changes state and writes its record in one transaction.

Read next: `engine/feed.py`, which does the same by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.database import Transaction
from adapters.database.runs import ANSWERED, FOLDER, OPEN_STATUSES, RunRow
from adapters.delivery.delivery import restart_failed
from adapters.engine.waiting import WAITING
from adapters.prescriptions.statements import Choice, with_prescription
from adapters.rt.read_folder import FolderScan
from adapters.seeds.points import parse_point, with_seed
from adapters.successors import revised, seeded
from audit.errors import (
    AnswerChangedError,
    ConfigurationError,
    InputChangedError,
    InputError,
    NotFoundError,
    NotStoredError,
)
from audit.kinds import NOT_EVALUATED
from audit.pseudonym import short
from plugins.host.facts import StudyFacts
from plugins.host.identity import RECALL, case_digest, run_id_for
from plugins.host.images import Vector3
from plugins.host.manifest import Manifest
from plugins.host.ports import RunRequest
from plugins.host.routing import Decision, decide

if TYPE_CHECKING:
    from adapters.compose import Site

PERMITTED = {
    "retry": ("failed",),
    "force": ("done", "refused", "abstained", "failed", "discarded"),
    "discard": ("queued", "waiting", "delivering", "failed"),
    "seed": ("refused", "abstained", "done", "failed"),
}
ACTIONS = tuple(PERMITTED)
ANOTHER_REVISION = (InputChangedError.code, AnswerChangedError.code)
"""Reasons of runs whose input or answer is now another: the next revision goes on."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Runs that were asked for by hand, and why studies were left out."""

    run_ids: tuple[str, ...]
    reasons: tuple[str, ...]


def queue_by_hand(
    site: Site,
    scan: FolderScan,
    release_digest: str,
    *,
    seed_point_mm: Vector3 | None = None,
    held_out: str | None = None,
    again: bool = False,
) -> Asked:
    """Queue a research run of one release on every study of a folder that it applies to."""
    manifest = site.registry.manifest(release_digest)
    parameters = _parameters(site, release_digest, held_out)
    asks = manifest.envelope.prescription_required
    run_ids: list[str] = []
    reasons: list[str] = []
    for facts in scan.studies:
        decision = decide(facts, release_digest, manifest)
        if decision.applies:
            sources = site.prescriptions.sources
            stated = sources.of_files(facts, scan.files) if asks else Choice()
            given = _Given(with_seed(parameters, seed_point_mm), seed_point_mm, stated)
            run_ids.append(_queue(site, facts, decision, manifest, given, again=again))
        else:
            uid = facts.study_instance_uid
            reasons += [_sentence(uid, decision, reason.code) for reason in decision.reasons[-1:]]
    return Asked(tuple(run_ids), tuple(reasons))


def _parameters(site: Site, digest: str, held_out: str | None) -> dict[str, str | float | bool]:
    """Return the parameter that selects members which never saw a patient of the training."""
    if held_out is None:
        return {}
    training = json.loads(site.registry.row(digest).manifest).get("training", [])
    if not any(held_out in member["trained_on"] for member in training):
        raise ConfigurationError(
            "expected --held-out to name a patient that some member was trained on",
            advice="Leave it out: no member of this release ever saw that patient.",
        )
    fair = {f"fold-{m['fold']}" for m in training if held_out not in m["trained_on"]}
    if not fair:
        raise ConfigurationError("expected a member that never saw this patient, found none")
    return {"members": ",".join(sorted(fair))}


@dataclass(frozen=True, slots=True)
class _Given:
    """What a run on files is made with besides its release."""

    parameters: Mapping[str, str | float | bool]
    seed_point_mm: Vector3 | None
    stated: Choice


def _sentence(study_instance_uid: str, decision: Decision, code: str) -> str:
    return f"study {short(study_instance_uid)}: {decision.plugin} does not apply ({code})"


def _queue(
    site: Site,
    facts: StudyFacts,
    decision: Decision,
    manifest: Manifest,
    given: _Given,
    *,
    again: bool,
) -> str:
    stated = given.stated
    chosen = with_prescription({**manifest.parameters, **given.parameters}, stated.prescription)

    def named(revision: int) -> str:
        return run_id_for(decision.sop_instance_uids, decision.release_digest, chosen, revision)

    revision, before = 1, None
    patient = site.pseudonyms.subject(facts.study_instance_uid)
    while (known := _known(site, named(revision))) is not None and _is_other(
        site, known, manifest, patient
    ):
        revision += 1
        before = known.run_id if known.status in ANSWERED else before
    run_id = named(revision)
    with site.database.transaction() as transaction:
        row = transaction.run(run_id)
        if row is not None:
            return _once_more(site, transaction, row, again=again)
        request = RunRequest(
            run_id=run_id,
            study_instance_uid=facts.study_instance_uid,
            plugin=decision.plugin,
            plugin_version=decision.plugin_version,
            release_digest=decision.release_digest,
            mode="research",
            series=decision.series,
            sop_instance_uids=decision.sop_instance_uids,
            opened_at=site.now(),
            parameters=chosen,
            revision=revision,
            trigger="manual",
            seed_point_mm=given.seed_point_mm,
            requested_by="account:local",
            supersedes=before,
            prescription=stated.prescription,
            prescription_fault=stated.refusal,
        )
        site.journal.route_decision(
            transaction, facts.study_instance_uid, decision, "manual", mode="research"
        )
        transaction.add_run(request, FOLDER)
        if stated.statement is not None:
            site.journal.prescription_taken(transaction, request, stated.statement)
    return run_id


def _known(site: Site, run_id: str) -> RunRow | None:
    with site.database.reading() as transaction:
        return transaction.run(run_id)


def _is_other(site: Site, row: RunRow, manifest: Manifest, patient: str) -> bool:
    """Return whether the files under the same UIDs are others now than a run has read.

    Somebody corrected them or gave them to another patient: the old answer is none to them.

    Parameters
    ----------
    patient : pseudonym of whom the study was of when it was read last.
    """
    if row.reason in ANOTHER_REVISION:
        return True
    if row.status not in ANSWERED or row.pacs != FOLDER:
        return False
    try:
        digest = case_digest(site.house.cases.fetch(row.request, manifest))
    except InputError as error:
        return row.input_digest is not None or error.code not in row.reason
    now = site.pseudonyms.subject(row.study_instance_uid)
    return digest != row.input_digest or patient not in (now, NOT_EVALUATED)


def _once_more(site: Site, transaction: Transaction, row: RunRow, *, again: bool) -> str:
    """A run that is there: it goes on, is delivered from its outbox, or runs again."""
    run_id = str(row.run_id)
    if row.status in OPEN_STATUSES:
        return run_id
    if row.status in ("done", "abstained") and not again and _outbox_is_whole(transaction, run_id):
        return run_id
    site.journal.by_hand(transaction, row.request, "again", "account:local")
    _queue_afresh(site, transaction, row)
    return run_id


def _queue_afresh(site: Site, transaction: Transaction, row: RunRow) -> None:
    """Run again from the start; every object is looked for, and sent where it is missing."""
    site.house.staging.wipe(row.run_id)
    transaction.reopen_deliveries(row.run_id)
    transaction.set_run_status(row.run_id, "queued")


def _outbox_is_whole(transaction: Transaction, run_id: str) -> bool:
    documents = transaction.documents(run_id)
    return bool(documents) and all(document.path.exists() for document in documents)


def deliver_again(site: Site, run_id: str) -> None:
    """Bring a finished run to the targets of this site that do not have it; nothing is inferred.

    Raises
    ------
    NotStoredError : a target did not take it or does not give it back.
    """
    with site.database.reading() as transaction:
        row = transaction.run(run_id)
        documents = transaction.documents(run_id)
    if row is None or row.status not in ("done", "abstained", "refused") or not documents:
        return
    states = site.house.delivery.deliver(row.request, documents)
    site.journal.delivered(row.request, states)
    names = {target.name for target in site.targets}
    missing = [s for s in states if s.target in names and s.state not in ("stored", "verified")]
    if missing:
        raise NotStoredError(
            f"expected {len(documents)} documents at {missing[0].target}, found {len(missing)} "
            f"missing ({missing[0].reason or missing[0].state})",
            advice="Look at the folder; name an empty one with --output.",
        )


def find_run(site: Site, run_id: str) -> RunRow:
    """Return the run whose id begins so; NotFoundError if none or several do."""
    with site.database.reading() as transaction:
        row = transaction.run(run_id)
        if row is not None:
            return row
        matches = [r for r in transaction.runs(limit=100_000) if r.run_id.startswith(run_id)]
    if len(matches) != 1:
        raise NotFoundError(f"expected one run beginning with {run_id!r}, found {len(matches)}")
    return matches[0]


def act(site: Site, action: str, run_id: str, person: str, detail: str = "") -> str:
    """Do what a person asks for with a run, and return what was done in words.

    Parameters
    ----------
    action : retry, force, discard, or seed with the point ``x,y,z`` as ``detail``.

    Raises
    ------
    ConfigurationError : the run's state does not permit it; nothing was changed.
    NotFoundError : no such run or action.
    """
    if action not in ACTIONS:
        raise NotFoundError(f"expected an action in {', '.join(ACTIONS)}, found {action!r}")
    with site.database.transaction() as transaction:
        row = transaction.run(run_id, lock=True)
        if row is None:
            raise NotFoundError(f"expected a run with id {run_id[:32]}, found none")
        if row.status not in PERMITTED[action]:
            raise ConfigurationError(
                f"expected a run that is {' or '.join(PERMITTED[action])} to {action}, "
                f"found {row.status}",
                advice="Wait for it, or look at it with `osteon runs show`.",
            )
        if action in ("force", "seed") and (row.mode == "shadow" or row.trigger == RECALL):
            raise ConfigurationError(
                f"expected a run that answers to {action}, found one in shadow or of a recall",
                advice="Force the study itself.",
            )
        if action == "retry":
            return _retry(site, transaction, row, person)
        if action == "force":
            return _force(site, transaction, row, person)
        if action == "seed":
            return _seed(site, transaction, row, person, parse_point(detail))
    site.journal.discarded(row.request, person)
    site.house.staging.wipe(run_id)
    return f"run {run_id} is discarded"


def _retry(site: Site, transaction: Transaction, row: RunRow, person: str) -> str:
    """Go on from where a run stopped: its delivery, or the steps behind its answer."""
    site.journal.by_hand(transaction, row.request, "retry", person)
    transaction.set_run_status(row.run_id, "queued")
    if restart_failed(transaction, row.run_id) and transaction.cursor(WAITING + row.run_id):
        transaction.set_run_status(row.run_id, "delivering")
        return f"run {row.run_id}: what failed to arrive is sent again"
    return f"run {row.run_id} is queued again; an answer that is there is used"


def _force(site: Site, transaction: Transaction, row: RunRow, person: str) -> str:
    """Run again: the same run, or a new revision where the input itself has changed."""
    before = row.request
    if row.reason not in ANOTHER_REVISION:
        site.journal.by_hand(transaction, before, "force", person)
        _queue_afresh(site, transaction, row)
        return f"run {before.run_id} is queued again; its objects keep their UIDs"
    request = revised(before, "force", person, site.now())
    return _add(site, transaction, row, request, "force", person)


def _seed(
    site: Site, transaction: Transaction, row: RunRow, person: str, point: Vector3 | None
) -> str:
    """Run the same input with a seed point that a person marked."""
    if point is None:
        raise ConfigurationError("expected a seed point x,y,z in LPS millimetres, found none")
    request = seeded(row.request, point, person, site.now())
    return _add(site, transaction, row, request, "seed", person)


def _add(
    site: Site,
    transaction: Transaction,
    row: RunRow,
    request: RunRequest,
    action: str,
    person: str,
) -> str:
    if not transaction.add_run(request, row.pacs):
        raise ConfigurationError(f"expected a new run, found {request.run_id} there already")
    site.journal.by_hand(transaction, request, action, person)
    return f"run {request.run_id} is queued in place of {row.run_id}"


def decide_study(site: Site, study_instance_uid: str, action: str, person: str) -> str:
    """Force a waiting study to be routed now, or take it out; by Study Instance UID.

    Raises
    ------
    NotFoundError : no watched archive ever told of the study.
    """
    state = {"force": "forced", "discard": "discarded"}[action]
    with site.database.transaction() as transaction:
        for name in site.archives:
            if transaction.study(name, study_instance_uid) is not None:
                transaction.set_study_state(name, study_instance_uid, state)
                site.journal.study_event(
                    transaction, f"{state}-by-hand", study_instance_uid, pacs=name
                )
                site.journal.access(transaction, f"study-{state}", "by-hand", person)
                return f"study {short(study_instance_uid)} is {state}"
    raise NotFoundError("expected a run, or a study of a watched archive, found neither")
