"""The section of the configuration about alarms: who answers for what, and after which times.

    [monitoring]
    deputy_after_hours = 24
    compliance_after_hours = 72
    compliance = "carla"
    [monitoring.duties.physicist]
    owner = "anna"
    deputy = "ben"
    [monitoring.addresses]
    anna = "mailto:anna@hospital.example"

Read next: `governance/monitoring/escalation.py`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from governance.monitoring.escalation import Duties, Times

Role = Literal["physicist", "clinician", "engineer", "compliance"]


class DutySection(BaseModel):
    """The accounts that answer for the items that one role owns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    owner: str = ""
    deputy: str = ""


class MonitoringSection(BaseModel):
    """Who is told of an alarm, and along which dimension figures are given to a pool.

    Parameters
    ----------
    pool_by : one dimension for all that this site ever gives: two would tell small groups.
    deputy_after_hours, compliance_after_hours : without an acknowledgement, from the alarm on.
    addresses : account -> ``mailto:...`` or ``https://...``; whoever has none is named in the
        notice of the site.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    deputy_after_hours: float = Field(default=24.0, gt=0, le=24 * 30)
    compliance_after_hours: float = Field(default=72.0, gt=0, le=24 * 90)
    compliance: str = ""
    pool_by: Literal["tumour_site", "age_band", "sex", "scanner"] = "tumour_site"
    duties: dict[Role, DutySection] = Field(default_factory=dict)
    addresses: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _in_order(self) -> MonitoringSection:
        if self.compliance_after_hours < self.deputy_after_hours:
            raise ValueError("expected compliance to be told after the deputy")
        wrong = [
            account
            for account, address in self.addresses.items()
            if not address.startswith(("mailto:", "https://", "http://127.0.0.1:"))
        ]
        if wrong:
            raise ValueError(f"expected mailto: or https:// for {', '.join(sorted(wrong))}")
        return self

    def times(self) -> Times:
        """Return the times as the rule takes them."""
        return Times(
            timedelta(hours=self.deputy_after_hours), timedelta(hours=self.compliance_after_hours)
        )

    def named(self) -> Duties:
        """Return who answers for what, as the rule takes it."""
        return Duties(
            {role: one.owner for role, one in self.duties.items()},
            {role: one.deputy for role, one in self.duties.items()},
            self.compliance,
        )
