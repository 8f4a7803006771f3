"""Dose figures by their names: D95%, D0.1cc, V20Gy, Mean, gEUD(8).

The names follow AAPM TG-263 (doi 10.1016/j.ijrobp.2017.12.013).

Examples
--------
>>> DoseMetric.parse("D0.1cc").units
'Gy'
>>> DoseMetric.parse("V20Gy[cc]").units
'cm3'
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from models.physics.dvh import DoseVolumeHistogram

USUAL = ("Min", "Mean", "Max", "D98%", "D95%", "D50%", "D2%", "D0.1cc")
FORMS = "D95%, D0.1cc, V20Gy, V20Gy[cc], Min, Mean, Max or gEUD(8)"
_NUMBER = r"(\d+(?:\.\d+)?)"
_FORMS = {
    "dose_at_percent": re.compile(rf"D{_NUMBER}%"),
    "dose_at_volume": re.compile(rf"D{_NUMBER}cc"),
    "percent_at_dose": re.compile(rf"V{_NUMBER}Gy"),
    "volume_at_dose": re.compile(rf"V{_NUMBER}Gy\[cc\]"),
    "geud": re.compile(r"gEUD\((-?\d+(?:\.\d+)?)\)"),
    "extreme": re.compile(r"(Min|Mean|Max)"),
}


@dataclass(frozen=True, slots=True)
class DoseMetric:
    """Name one figure of a histogram, as `parse` reads it."""

    name: str
    form: str
    argument: str

    @classmethod
    def parse(cls, text: str) -> DoseMetric:
        """Return the metric of a name.

        Raises
        ------
        ValueError : it has none of the known forms.
        """
        for form, pattern in _FORMS.items():
            match = pattern.fullmatch(text.strip())
            if match and not (form == "geud" and float(match[1]) == 0):
                if form == "dose_at_percent" and float(match[1]) > 100:
                    break
                return cls(text.strip(), form, match[1])
        raise ValueError(f"expected a figure like {FORMS}, found {text[:24]!r}")

    @property
    def units(self) -> str:
        """Return the UCUM code of the figure."""
        return {"percent_at_dose": "%", "volume_at_dose": "cm3"}.get(self.form, "Gy")

    def of(self, histogram: DoseVolumeHistogram) -> float:
        """Return the figure; NaN where the region is empty or too small."""
        if self.form == "extreme":
            values = (histogram.least_gy, histogram.mean_gy, histogram.most_gy)
            return dict(zip(("Min", "Mean", "Max"), values, strict=True))[self.argument]
        number = float(self.argument)
        if self.form == "dose_at_percent":
            return histogram.dose_at_percent_gy(number)
        if self.form == "dose_at_volume":
            return histogram.dose_at_volume_gy(number * 1000.0)
        if self.form == "geud":
            return histogram.geud_gy(number)
        total = histogram.total_mm3
        if not total:
            return float("nan")
        volume = histogram.volume_at_dose_mm3(number)
        return 100.0 * volume / total if self.form == "percent_at_dose" else volume / 1000.0
