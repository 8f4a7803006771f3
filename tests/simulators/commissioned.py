"""A release that a physicist has signed for at a site, without the run: for gates and run time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from adapters.compose import Site
from adapters.validation.commissioning import REPORT, folder_of, record
from governance.commissioning import PLAN, RUN, SIGNED
from governance.commissioning_plan import SCHEMA, encode, read_plan
from tests.simulators.governed_site import ENGINEER, PHYSICIST

SCANNER = {"manufacturer": "Osteon Tests", "model": "Builder"}


def content_of(site: str, digest: str, now: Any, **changes: Any) -> dict[str, Any]:
    """Return what a signature under a commissioning says, valid for a year."""
    return {
        "site": site, "plugin": "trial", "release_digest": digest, "plan_id": "trial-1.0.0-0a1b",
        "plan_digest": "sha256:" + "1" * 64, "report_digest": "sha256:" + "2" * 64,
        "scanners": [SCANNER], "ran_by": "engineer", "signed_by": "physicist",
        "role": "physicist", "reason": "tests", "state": "valid", "signed_at": now.isoformat(),
        "expires_at": (now + timedelta(days=365)).isoformat(), "routine_days": 400,
    } | changes  # fmt: skip


def commission(site: Site, digest: str, **changes: Any) -> None:
    """Put a signed commissioning of a release on record."""
    name = site.configuration.site.name
    content = content_of(name, digest, site.now(), **changes)
    record(site, SIGNED, digest, content, PHYSICIST)


def on_record(site: Site, digest: str, run_id: str, *, signed: bool = True) -> str:
    """Put plan and run of a commissioning that passed on record, and sign it; return its id."""
    plan_id = f"trial-1.0.0-{run_id[:12]}"
    plan = read_plan({
        "schema": SCHEMA, "protocol": "120 kV", "cases": 5, "cases_reason": "tests",
        "scanners": [SCANNER], "end_to_end": "by hand", "trained": 1,
    })  # fmt: skip
    planned = {
        "plan": encode(plan), "plan_digest": "sha256:" + "1" * 64, "release_digest": digest,
        "plugin": "trial", "version": "1.0.0", "cohort": "ours", "planned_by": "physicist",
    }  # fmt: skip
    ran = {
        "run_id": run_id, "verdict": "pass", "ran_by": "engineer", "report_digest": "sha256:0",
        "checks": {"local-cases": "pass", "end-to-end": "pass"},
    }  # fmt: skip
    record(site, PLAN, plan_id, planned, PHYSICIST)
    record(site, RUN, plan_id, ran, ENGINEER)
    (folder_of(site, plan_id) / REPORT).write_bytes(b"{}")
    if signed:
        commission(site, digest, plan_id=plan_id)
    return plan_id
