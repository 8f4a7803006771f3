"""An alarm of a pool at the site that pooled: the same record, owner and decision as its own.

Read next: `alarming.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from adapters.monitoring.alarming import alarm
from adapters.monitoring.pooling import Result
from audit.errors import NotFoundError
from governance.monitoring.state import Beyond
from governance.ports import Deployment

if TYPE_CHECKING:
    from adapters.compose import Site

POOLED = "pooled"


def raise_pooled(site: Site, release_digest: str, found: Sequence[Result]) -> tuple[str, ...]:
    """Open an alarm for every item whose pool has one; return the names of those that are new.

    Raises
    ------
    NotFoundError : the release was never at work here, so that nobody could decide about it.
    """
    name = site.configuration.site.name
    with site.database.reading() as transaction:
        here = [
            one
            for one in transaction.deployments()
            if one.release_digest == release_digest and one.site == name
        ]
    if not here:
        raise NotFoundError("expected a release that is at work here, found none")
    opened = [_open(site, here[0], one) for one in found if one.pooled.alarm_month]
    return tuple(name for name in opened if name)


def _open(site: Site, deployment: Deployment, one: Result) -> str:
    stratum, number, _ = one.pooled.parts[0]
    beyond = Beyond(f"{number} in {stratum}", POOLED, one.pooled.evidence, one.pooled.threshold)
    told = f"{beyond.name} after {one.pooled.cases} cases of {len(one.alone)} sites"
    about = f"{POOLED}-{one.item.name}"
    return site.database.run(
        lambda transaction: alarm(site, transaction, deployment, one.item, about, told, beyond)
    )
