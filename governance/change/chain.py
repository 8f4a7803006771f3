"""Is a release certified here?  A baseline, or reached from one by changes that may all run.

A change is decided against the release before it, so its class says nothing unless that
release was certified itself: a version number on top of an uncertified release is a small
step from the wrong place.  The chain is followed from release to release down to a certified
baseline of the plugin; one link that is missing, withdrawn or not permitted breaks it.

Source: REGULATORY.md section 4 (rollback: the set of certified versions; budget: against the
certified baseline, not the previous version).

Read next: `gates.py`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from governance.change.ledger import BASELINE, REQUEST, decode
from governance.change_control import decide
from governance.ports import GovernedStore


def baselines(documents: GovernedStore, plugin: str) -> frozenset[str]:
    """Return the digests of every release that was a certified baseline of the plugin."""
    history = documents.governed_history(BASELINE, plugin)
    return frozenset(str(item.content.get("release_digest")) for item in history)


def is_certified(documents: GovernedStore, plugin: str, release_digest: str, at: datetime) -> bool:
    """Tell whether a release is in the certified set of its plugin at a moment.

    Holds are left aside: they stop an activation, they do not take a certificate away.  So
    are statements of a rollback: what goes back has to be certified by its own change.
    """
    roots, seen = baselines(documents, plugin), set[str]()
    digest = release_digest
    while digest not in roots:
        found = documents.governed(REQUEST, digest)
        if found is None or digest in seen:
            return False
        seen.add(digest)
        request = decode(found.content)
        if request.plugin != plugin or request.withdrawn or request.baseline_digest not in roots:
            return False
        flags = replace(request.standing(at), open_incident_hold=False, rollback=False)
        if not decide(flags).may_activate:
            return False
        digest = request.old_digest
    return True
