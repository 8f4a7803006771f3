"""What was in force for a release when it inferred: rows 7, 10 and 28 of the inference record.

Everything comes from documents and assessments of the same transaction; what nobody stated
stays ``not-evaluated``.

Source: REGULATORY.md section 3.

Read next: `bodies.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.database import bodies
from adapters.database.transaction import Transaction
from audit.kinds import NOT_EVALUATED
from governance import provider
from governance.change.ledger import baseline_of, request_of
from plugins.host.ports import Json, RunRequest

_LONGEST_CHAIN = 1_000


def in_force(transaction: Transaction, request: RunRequest) -> Mapping[str, Json]:
    """Return what the groups ``plugin`` and ``model`` of an inference state besides."""
    return {
        "plugin": _papers(transaction, request),
        "model": _counted(transaction, request),
    }


def prev_assessment(transaction: Transaction, request: RunRequest) -> str:
    """Return the last assessment of the run that this one replaces."""
    known = transaction.assessments_of(request.supersedes) if request.supersedes else ()
    return bodies.coded(known[-1].assessment_id) if known else NOT_EVALUATED


def _papers(transaction: Transaction, request: RunRequest) -> Json:
    """Return the UDI that the provider states for the plugin."""
    found: Json = {}
    who = transaction.governed(provider.PROVIDER, provider.SITE)
    devices: Mapping[str, Any] = provider.read_provider(who.content).devices if who else {}
    device = devices.get(request.plugin)
    if device is not None and device.udi_di:
        found["udi_di"] = bodies.coded(device.udi_di)
        found["udi_pi"] = bodies.coded(request.plugin_version)
    return found


def _counted(transaction: Transaction, request: RunRequest) -> Json:
    """Return the certified baseline, and how many changes lead from it to the release."""
    baseline = baseline_of(transaction, request.plugin)
    if baseline is None:
        return {}
    row = transaction.release(baseline.release_digest)
    version = bodies.coded(row.version) if row else baseline.release_digest
    found: Json = {"baseline_version": version}
    digest, count = request.release_digest, 0
    while digest != baseline.release_digest and count < _LONGEST_CHAIN:
        change = request_of(transaction, digest)
        if change is None:
            return found
        digest, count = change.old_digest, count + 1
    return found | {"change_seq": count}
