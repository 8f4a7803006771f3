"""The section of the configuration about reviews: from where on a difference counts.

Read next: `governance/oversight/comparison.py`.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from governance.oversight.comparison import Limits


class OversightSection(BaseModel):
    """How approved structure sets that come back are compared with ours.

    Parameters
    ----------
    find_reviews : look for approved sets of other systems in the watched archives.
    tolerance_mm : within it two surfaces are one (surface Dice).
    major_hd95_mm, major_surface_dice : beyond them an edit has a consequence; chosen, for the
        site to justify.
    quiet_time_s : how long a study must be still before its sets are read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    find_reviews: bool = True
    tolerance_mm: float = Field(default=2.0, gt=0, le=20)
    major_hd95_mm: float = Field(default=5.0, gt=0, le=100)
    major_surface_dice: float = Field(default=0.8, ge=0, le=1)
    quiet_time_s: float = Field(default=30.0, ge=0)

    def limits(self) -> Limits:
        """Return the limits as the rule takes them."""
        return Limits(
            tolerance_mm=self.tolerance_mm,
            major_hd95_mm=self.major_hd95_mm,
            major_surface_dice=self.major_surface_dice,
        )
