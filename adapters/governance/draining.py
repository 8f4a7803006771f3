"""What becomes of a release's open runs when it leaves, in the transaction in which it leaves.

The table is `governance.rollback.DRAINS`.  A run that is taken out is closed on record; its
study is opened again where another release may run it, so that nothing is lost, and the
feed queues it once.  A run in a worker ends at its next step: `Journal.require_open`.

Read next: `acts.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adapters.database import Transaction
from adapters.database.runs import FOLDER, REROUTED, RunRow
from adapters.prescriptions.statements import with_prescription
from adapters.seeds.points import with_seed
from audit.errors import SuiteError
from governance.rollback import CANCEL, FINISH, fate
from plugins.host.identity import RECALL, run_id_for
from plugins.host.ports import RunRequest

if TYPE_CHECKING:
    from adapters.compose import Site

STOP = "stop"


@dataclass(frozen=True, slots=True)
class Drained:
    """What became of open runs, by run id."""

    finishing: tuple[str, ...] = ()
    rerouted: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()

    def __add__(self, other: Drained) -> Drained:
        return Drained(
            self.finishing + other.finishing,
            self.rerouted + other.rerouted,
            self.cancelled + other.cancelled,
        )


def drain(
    site: Site,
    transaction: Transaction,
    rows: Iterable[RunRow],
    act: str,
    reason: str,
    target: str = "",
) -> Drained:
    """Do with open runs what the table says for an act, and record each that is taken out.

    Parameters
    ----------
    reason : stable code that a cancelled run closes with.
    target : release digest that takes over; empty leaves it to the feed.
    """
    finishing, rerouted, cancelled = [], [], []
    for row in rows:
        if row.pacs == FOLDER and act != STOP:
            continue  # made by hand on files: no release stands for another there
        if row.trigger == RECALL and act != STOP:
            continue  # it withdraws what the release made, so it goes on when the release leaves
        wanted = fate(act, row.status, shadow=row.mode == "shadow")
        if wanted == FINISH:
            finishing.append(row.run_id)
        elif wanted != CANCEL and _reroute(site, transaction, row, target):
            rerouted.append(row.run_id)
        else:
            site.journal.taken_out(transaction, row.request, reason)
            cancelled.append(row.run_id)
    return Drained(tuple(finishing), tuple(rerouted), tuple(cancelled))


def tidy(site: Site, drained: Drained) -> None:
    """Let go what was staged for runs that were taken out, after their end is committed."""
    for run_id in drained.rerouted + drained.cancelled:
        site.house.staging.wipe(run_id)


def _reroute(site: Site, transaction: Transaction, row: RunRow, target: str) -> bool:
    """Let another release run the study; False, and nothing changed, where none can."""
    by_hand = row.seed_point_mm is not None or row.trigger in ("force", "manual")
    if by_hand:
        request = _redirected(site, row, target)
        if request is None or not transaction.add_run(request, row.pacs):
            return False
        transaction.put_retry(request.run_id, 1, site.now(), REROUTED)  # the engine takes it now
        site.journal.taken_out(transaction, row.request, REROUTED)
        return True
    study = transaction.study(row.pacs, row.study_instance_uid)
    if study is None or study.state == "discarded":
        return False
    site.journal.taken_out(transaction, row.request, REROUTED)
    transaction.set_study_state(row.pacs, row.study_instance_uid, "waiting")
    return True


def _redirected(site: Site, row: RunRow, target: str) -> RunRequest | None:
    """Return what a person asked for, for another release; None where its inputs differ."""
    if not target:
        return None
    try:
        manifest = site.registry.manifest(target)
    except SuiteError:
        return None
    if any(item.required and item.role not in row.series for item in manifest.inputs):
        return None
    parameters = with_seed(manifest.parameters, row.seed_point_mm)
    parameters = with_prescription(parameters, row.prescription)
    run_id = run_id_for(row.sop_instance_uids, target, parameters)
    return replace(
        row.request,
        run_id=run_id,
        plugin_version=manifest.version,
        release_digest=target,
        parameters=parameters,
        revision=1,
        opened_at=site.now(),
    )
