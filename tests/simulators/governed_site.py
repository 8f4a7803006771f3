"""A site with releases of a small plugin and one account for each role, ready to decide.

Read next: `office.py` (the same rules without a site).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from adapters.compose import Site, open_site
from adapters.governance.approving import approve
from adapters.governance.certifying import certify
from adapters.governance.persons import Somebody
from adapters.home import Home
from adapters.published import sign_bundle
from audit.record import Record, decode
from governance.accounts import ROLES, Account
from governance.certificate import Certificate, issue
from governance.commissioning import CommissioningGate
from governance.gates import Gate
from governance.technical_file.gates import Desk
from tests.simulators.example_site import configuration
from tests.simulators.released_plugins import bundle

ANSWER = """
def predict(self, case, parameters):
    return answer(case)
"""
APPROVER, PHYSICIST = Somebody("approver", "approver"), Somebody("physicist", "physicist")
CLINICIAN, ENGINEER = Somebody("clinician", "clinician"), Somebody("engineer", "engineer")
COMPLIANCE = Somebody("compliance", "compliance")
ADMINISTRATOR = Somebody("administrator", "administrator")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, **amount: float) -> None:
        """Let time pass."""
        self.moment += timedelta(**amount)


@contextmanager
def governed_site(
    root: Path,
    *,
    mode: str = "research",
    site: Mapping[str, Any] | None = None,
    commissioned: bool = True,
    **changes: Any,
) -> Iterator[tuple[Site, Clock]]:
    """Open an empty site with a movable clock and an account for each role.

    It has every gate but those of the documentation: what a release has to be documented by has
    tests of its own (`test_technical_file_journey.py`).  ``site``: more settings of that section.
    ``commissioned``: as if every release were; else the gate of commissioning is there.
    """
    clock = Clock()
    named = {"name": "test-site", "node": "node-a", "mode": mode, **(site or {})}
    settings = configuration(root, site=named, **changes)
    with open_site(Home(root / "home").create(), configuration=settings, now=clock) as opened:
        add_accounts(opened)
        gates = _but_documentation(opened)
        if commissioned:
            gates = tuple(gate for gate in gates if not isinstance(gate, CommissioningGate))
        yield replace(opened, gates=gates), clock


def _but_documentation(site: Site) -> tuple[Gate, ...]:
    return tuple(
        gate for gate in site.gates if not isinstance(getattr(gate, "__self__", None), Desk)
    )


def add_accounts(site: Site) -> None:
    """Add one account for each role, called like it, which cannot sign in."""
    with site.database.transaction() as transaction:
        for role in ROLES:
            if transaction.account(role) is None:
                transaction.put_account(Account(role, role, "no password", False, site.now()))


def add_release(site: Site, version: str, person: str = "engineer", **declaration: Any) -> str:
    """Build, sign and add a release of plugin ``trial``; return its digest."""
    path = site.home.root / f"trial-{version}.osteon"
    path.write_bytes(bundle(ANSWER, version=version, **declaration))
    sign_bundle(site.keys, path, site.now())
    return site.registry.add(path, person=person).digest


def certificate(site: Site, digest: str, **changes: Any) -> bytes:
    """Return a certificate of a release signed by the site's own certificate key."""
    now = site.now()
    values: dict[str, Any] = {
        "certificate_id": f"cert-{digest[7:15]}",
        "release_digest": digest,
        "cohort_digest": "sha256:" + "c" * 64,
        "criteria_digest": "sha256:" + "d" * 64,
        "criteria_recorded_at": now - timedelta(days=2),
        "evaluated_at": now - timedelta(days=1),
        "metric_pack": "osteon-metrics-1",
        "method": "held-out",
        "strata": (),
        "verdict": "pass",
        "report_digest": "sha256:" + "e" * 64,
        "issued_at": now,
        "expires_at": now + timedelta(days=365),
    }
    keys = site.keys
    stated = Certificate(**(values | changes))
    return issue(stated, keys.certificate, keys.certificate_key_id, now)


def approved(site: Site, digest: str, **changes: Any) -> str:
    """Certify and approve a release by two persons; return its digest."""
    certify(site, digest, PHYSICIST, certificate(site, digest, **changes))
    approve(site, digest, APPROVER)
    approve(site, digest, PHYSICIST, "review")
    return digest


def state_of(site: Site, digest: str) -> str:
    """Return the state that a release is in."""
    with site.database.reading() as transaction:
        return {d.release_digest: d.state for d in transaction.deployments()}[digest]


def records(site: Site, kind: str) -> list[Record]:
    """Return the records of a kind, all of them in the tree."""
    site.seal()
    with site.database.reading() as transaction:
        leaves = transaction.leaves(0, transaction.tree_size())
        return [decode(leaf.leaf) for leaf in leaves if leaf.kind == kind]
