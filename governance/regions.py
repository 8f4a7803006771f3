"""Region pins: what may leave the region that a site's data are bound to.

A pinned site gives nothing to a place outside its region, aggregates included: some laws bind the
figures of a medical institution as they bind its records.  The pin travels inside what leaves, so
that a receiver elsewhere refuses it too.

Source: REGULATORY.md rows CN-1 (region pinning; export gate), "Cross-border transfer"; Regulation
(EU) 2016/679 chapter V.

Read next: `monitoring/pooling.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from audit.errors import RefusalError

REGION_PINNED = "REGION_PINNED"


@dataclass(frozen=True, slots=True)
class Region:
    """Where a site stands (such as ``EU``, ``CN``), and whether what it has is bound to there."""

    name: str = ""
    is_pinned: bool = False


def require_may_leave(region: Region, to: str) -> None:
    """Return when something of a region may go to a place; RefusalError (REGION_PINNED) else."""
    if region.is_pinned and to != region.name:
        raise RefusalError(
            f"expected a place inside {region.name}, found {to[:16] or 'none stated'}",
            reasons=(REGION_PINNED,),
            advice="Pool inside the region; nothing of a pinned site leaves it.",
        )
