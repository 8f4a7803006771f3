"""How a report's values are named and printed, in one language.

Read next: `words.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from governance.report import Language, Number
from validation.harness.plan import LABORATORY, PHANTOM
from validation.report.figures import ALL

_DIGITS = {"mm": 1, "ml": 1, "%": 1, "s": 1, "voxel": 2, "Gy": 2, "cm": 1}


@dataclass(frozen=True, slots=True)
class Terms:
    """The results of a report with the words to print them.

    Parameters
    ----------
    t : every text by its key (`words.py`).
    """

    results: Mapping[str, Any]
    t: Mapping[str, str]
    language: Language

    @property
    def headline(self) -> str:
        """The metric that figures of single cases, groups and sweeps are drawn of."""
        return str(self.results["headline"])

    def inputs(self) -> list[str]:
        """Return what the release got, richest first."""
        given = {row["given"] for row in self.results["figures"]}
        return sorted(given, key=lambda item: (-len(item), item))

    def sites(self) -> dict[str, int]:
        """Return the number of patients of each site; phantoms are none."""
        return {site: n for site, n in self.results["sites"].items() if site != LABORATORY}

    def counts(self) -> dict[str, int]:
        """Return cases and patients, phantoms and how often one was shown, and results in all."""
        n, phantoms = self.results["n"], self.results["sites"].get(LABORATORY, 0)
        shown = sum(row["n"] for row in self.results["outcomes"] if row["condition"] == PHANTOM)
        return {
            "cases": n["cases"] - shown, "patients": n["patients"] - phantoms,
            "phantoms": phantoms, "shown": shown, "results": n["results"],
        }  # fmt: skip

    def figures(self, given: str, metric: str = "") -> list[Mapping[str, Any]]:
        """Return the figures of one input, of one metric or all."""
        return [
            row
            for row in self.results["figures"]
            if row["given"] == given and metric in ("", row["metric"])
        ]

    def title(self, metric: str) -> str:
        """Return a metric's name in print."""
        known = self.results["metrics"].get(metric)
        return str(known["title"]) if known else metric.replace("_", " ") or "–"

    def named(self, metric: str) -> str:
        """Return a metric's name with its unit."""
        unit = self.results["metrics"].get(metric, {}).get("unit", "")
        return f"{self.title(metric)} ({unit})" if unit not in ("", "1") else self.title(metric)

    def digits(self, metric: str) -> int:
        """Return how many decimal places of a metric are printed."""
        unit = self.results["metrics"].get(metric, {}).get("unit", "")
        return _DIGITS.get(unit, 3)

    def number(self, row: Mapping[str, Any], *, with_n: bool) -> Number:
        """Return a figure as it is printed."""
        n = row["n"] if with_n else None
        return Number(row["mean"], self.digits(row["metric"]), row["low"], row["high"], n)

    def group(self, stratum: str) -> str:
        """Return a group's name in print."""
        return self.t["all"] if stratum in (ALL, "") else stratum

    def cohort_name(self) -> str:
        """Return name and version of the cohort."""
        cohort = self.results["cohort"]
        return f"{cohort.get('name', '–')} {cohort.get('version', '')}".strip()

    def floor(self, given: str) -> float | None:
        """Return the lowest mean that a criterion asks of the headline, None where none does."""
        return next(
            (
                item["limit"]
                for item in self.results["verdicts"]
                if item["metric"] == self.headline
                and item["given"] == given
                and item.get("limit") is not None
                and item.get("statistic") == "mean"
            ),
            None,
        )

    def higher(self, metric: str) -> bool:
        """Return whether more of a metric is better."""
        return bool(self.results["metrics"].get(metric, {}).get("better", "higher") == "higher")


def described(pairs: Sequence[tuple[str, str]]) -> str:
    """Return pairs of texts as one line for who does not see a figure."""
    return "; ".join(f"{one}: {other}" for one, other in pairs)
