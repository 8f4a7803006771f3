"""What a demonstration fills in: what the software knows, and an example provider.

Research mode only.  The risk register and the measured accuracy are real; provider, standards,
quality map and overseers are an example that says so in every name.  What only a person can
write, and every act that a person answers for, stays MISSING.

Read next: `acts.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from adapters.release_members import RISK_REGISTER, package_folder
from adapters.technical_file.acts import record
from audit.errors import NotFoundError, RefusalError
from governance import accuracy, provider, risk
from governance.technical_file.sources import OVERSEERS
from plugins.host.discovery import find_plugin

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.governance.persons import Person

ACTS: Mapping[str, str] = {
    "classification": "an approver signs the classification",
    "p1.h.ifu_ref": "waits for the signed statement on cybersecurity and for the plan of changes",
    "p2.f.predetermined_changes": "a person writes the plan, or states that there is none",
    "p2.f.continuous_compliance_solutions": "a person writes the plan, or states that there is "
    "none",
    "p2.g.signed_reports": "the validation harness certifies the release",
    "p2.g.test_logs": "somebody runs the tests on the release and records them",
    "p8.eu_doc": "an approver signs the declaration",
    "p9.pmm_plan": "a person writes the monitoring plan",
    "p9.pmm_system": "a person writes the monitoring plan",
}
"""Generated fields whose source is an act of a person, and which act that is."""
_SMALLEST_GROUP = 8
_EXAMPLE = "Example Provider (demonstration, not a company)"


def fill_demonstration(site: Site, digest: str, person: Person) -> tuple[str, ...]:
    """Record what the software knows of a release, and an example provider; return the kinds.

    Raises
    ------
    RefusalError : the site is in clinical mode; nothing was recorded.
    """
    if site.configuration.site.mode != "research":
        raise RefusalError(
            "an example provider has no place in clinical mode",
            reasons=("MODE_NOT_PERMITTED",),
            advice="Record your own documents: `osteon technical-file record`.",
        )
    plugin = site.registry.row(digest).plugin
    wanted: dict[str, Mapping[str, Any]] = {
        provider.PROVIDER: _provider(plugin),
        provider.STANDARDS: _standards(),
        provider.QMS: _qms(site),
        provider.PLACING: {
            "schema": "osteon.placing/1",
            "first_placed": site.now().date().isoformat(),
        },
        OVERSEERS: {
            "schema": "osteon.overseers/1",
            "overseers": [{"account": "example-overseer", "role": "clinician"}],
        },
    }
    register = shipped_register(plugin)
    if register is not None:
        wanted[risk.KIND] = register
    measured = measured_here(site, plugin, digest)
    if measured is not None:
        wanted[accuracy.KIND] = measured
    for kind, content in wanted.items():
        record(site, kind, digest, content, person)
    return tuple(wanted)


def shipped_register(plugin: str) -> Mapping[str, Any] | None:
    """Return the risk register that comes with a plugin, None where it has none."""
    try:
        path = package_folder(find_plugin(plugin).package) / RISK_REGISTER
    except NotFoundError:
        return None
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else None


def measured_here(site: Site, plugin: str, digest: str) -> Mapping[str, Any] | None:
    """Return the measured accuracy of exactly this release, None where none is known.

    Results in the repository are those of one set of weights; for another release they say
    nothing and are not recorded.
    """
    if plugin != "contouring":
        return None
    from models.training.contouring.accuracy import measured_accuracy

    content = measured_accuracy(digest, _SMALLEST_GROUP)
    manifest = json.loads(site.registry.row(digest).manifest)
    fits = accuracy.fits_weights(accuracy.read_accuracy(content), manifest)
    return content if fits else None


def _provider(plugin: str) -> dict[str, Any]:
    return {
        "schema": "osteon.provider/1",
        "name": _EXAMPLE,
        "address": "1 Example Street, 00000 Exampletown",
        "email": "regulatory@example.org",
        "representative": "",
        "processes_personal_data": True,
        "other_acts": ["Regulation (EU) 2017/745"],
        "devices": {
            plugin: {
                "name": f"Osteon {plugin} (demonstration)",
                "type": "software for radiotherapy planning",
                "basic_udi_di": "EXAMPLE-BASIC-UDI",
                "udi_di": "EXAMPLE-UDI-DI",
            }
        },
    }


def _standards() -> dict[str, Any]:
    rows = (
        ("EN ISO 14971:2019", "Medical devices: application of risk management"),
        ("EN 62304:2006+A1:2015", "Medical device software: life cycle processes"),
        ("EN 62366-1:2015+A1:2020", "Medical devices: usability engineering"),
    )
    return {
        "schema": "osteon.standards/1",
        "standards": [
            {"reference": reference, "title": title, "extent": "part", "oj_reference": ""}
            for reference, title in rows
        ],
    }


def _qms(site: Site) -> dict[str, Any]:
    due = (site.now().date() + timedelta(days=365)).isoformat()
    return {
        "schema": "osteon.qms_map/1",
        "aspects": {
            letter: {
                "procedure": f"Example procedure {letter.upper()} (demonstration)",
                "owner": "example-owner",
                "review_due": due,
            }
            for letter in provider.QMS_ASPECTS
        },
    }
