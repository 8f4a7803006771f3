"""The plan of a commissioning: what a site will show before a release may be used on its patients.

A medical physicist writes it, in TOML, before the first result; it is sealed and recorded, and
what it asks cannot be changed once a case was judged.

    protocol, cases, cases_reason, scanners      whose patients, how acquired, how many and why
    refused_share, end_to_end                    how it has to fail, and what was tried end to end
    trained, baseline_cases                      who is trained; what routine QA compares with
    lasts_days, routine_days                     when it has to be done again

Source: L. Vandewinckele et al., Overview of artificial intelligence-based applications in
radiotherapy: recommendations for implementation and quality assurance, Radiother Oncol 2020;
153: 55-66 (commissioning, case-specific and routine QA); REGULATORY.md ESTRO-1.

Read next: `commissioning.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from audit.errors import ConfigurationError
from governance.reading import Table
from governance.strata import CaseFacts, Stratum, belongs

SCHEMA = "osteon.commissioning-plan/1"
LONGEST_DAYS = 730
"""No commissioning lasts longer than a certificate can."""
_KEYS = (
    "schema", "protocol", "cases", "cases_reason", "scanners", "refused_share", "end_to_end",
    "trained", "baseline_cases", "baseline_tolerance", "lasts_days", "routine_days",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scanner:
    """One scanner of the site, as its images name it; ``station`` empty means any of that model."""

    manufacturer: str
    model: str
    station: str = ""

    @property
    def words(self) -> str:
        """Return the scanner in one line."""
        return " ".join(filter(None, (self.manufacturer, self.model, self.station)))

    def made(self, facts: CaseFacts) -> bool | None:
        """Return whether it made the images of a case; None where they do not say who did."""
        where = {"manufacturer": self.manufacturer, "model": self.model}
        if self.station:
            where["station"] = self.station
        return belongs(Stratum("scanner", 0, "pass", where), facts)


@dataclass(frozen=True, slots=True)
class CommissioningPlan:
    """What a site asks of a release, fixed beforehand.

    Parameters
    ----------
    protocol : how the site's images are made, in words.
    cases, cases_reason : patients that are needed, and why so many suffice.
    scanners : for which the commissioning is to speak.
    refused_share : least share of inputs outside the purpose that must not be answered.
    end_to_end : what is tried from the archive to the planning system, in words.
    trained : persons whose training for the plugin has to be valid.
    baseline_cases, baseline_tolerance : cases that routine QA asks again, and by how much the
        headline metric of one may differ then.
    lasts_days, routine_days : days until it ends, and between two routine checks.
    """

    protocol: str
    cases: int
    cases_reason: str
    scanners: tuple[Scanner, ...]
    refused_share: float
    end_to_end: str
    trained: int
    baseline_cases: int
    baseline_tolerance: float
    lasts_days: int
    routine_days: int


def read_plan(document: Mapping[str, Any]) -> CommissioningPlan:
    """Return the plan that decoded TOML or JSON states.

    Raises
    ------
    ConfigurationError : a value is missing, unknown or not possible; it is named.
    """
    top = Table("plan", document).only(_KEYS)
    if top.text("schema") != SCHEMA:
        raise top.fault("schema", SCHEMA)
    scanners = tuple(_scanner(row) for row in top.tables("scanners"))
    plan = CommissioningPlan(
        protocol=top.text("protocol"),
        cases=top.count("cases"),
        cases_reason=top.text("cases_reason"),
        scanners=scanners,
        refused_share=top.number("refused_share", 1.0),
        end_to_end=top.text("end_to_end"),
        trained=top.count("trained"),
        baseline_cases=top.count("baseline_cases", 3),
        baseline_tolerance=top.number("baseline_tolerance", 0.0),
        lasts_days=top.count("lasts_days", 365),
        routine_days=top.count("routine_days", 30),
    )
    once = bool(scanners) and len(set(scanners)) == len(scanners)
    _require("scanners", once, "each scanner once")
    _require("cases", plan.cases > 0, "a number above 0")
    _require("trained", plan.trained > 0, "a number above 0")
    _require("baseline_cases", 0 < plan.baseline_cases <= plan.cases, "1 to the number of cases")
    _require("baseline_tolerance", plan.baseline_tolerance >= 0, "a number from 0")
    _require("refused_share", 0 < plan.refused_share <= 1, "a share above 0, at most 1")
    _require("lasts_days", 0 < plan.lasts_days <= LONGEST_DAYS, f"1 to {LONGEST_DAYS} days")
    _require("routine_days", 0 < plan.routine_days <= plan.lasts_days, "1 to lasts_days")
    return plan


def encode(plan: CommissioningPlan) -> dict[str, Any]:
    """Return the plan as JSON values; `read_plan` is the inverse."""
    values = asdict(plan)
    values["scanners"] = [
        {key: value for key, value in item.items() if value} for item in values["scanners"]
    ]
    return {"schema": SCHEMA, **values}


def _scanner(row: Table) -> Scanner:
    row.only(("manufacturer", "model", "station"))
    return Scanner(row.text("manufacturer"), row.text("model"), row.text("station", ""))


def _require(key: str, holds: bool, expected: str) -> None:
    if not holds:
        raise ConfigurationError(
            f"expected {expected} at plan.{key}, found another",
            advice="Compare it with docs/examples/validation/commissioning.toml.",
        )
