"""A governed site with a release at work and runs whose statistics a test decides.

The runs are rows as the pipeline leaves them; `tests/journeys/test_monitoring_journey.py` makes
them by the whole path instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from adapters.compose import Site
from adapters.database.oversight import About
from adapters.governance.acts import waive
from adapters.monitoring.plans import set_plan
from governance.monitoring import reference as references
from governance.monitoring.plan import (
    INPUT,
    NOTIFY,
    OPERATIONS,
    RATE,
    RELEASE,
    STATED,
    SUSPEND,
    Item,
    Plan,
)
from governance.monitoring.reference import Observation, make_reference
from governance.oversight.assessment import Assessment, Figures
from tests.simulators.governed_site import APPROVER, PHYSICIST, Clock, add_release, governed_site
from tests.simulators.run_values import request_for

PLAN = Plan(
    "trial",
    (
        Item("input", INPUT, ("ct_*", "slice_*"), RELEASE, 2000.0, SUSPEND, "physicist"),
        Item("refusals", RATE, ("refused",), STATED, 2000.0, NOTIFY, "physicist", rate=0.2),
        Item("latency", OPERATIONS, ("seconds",), "first", 2000.0, NOTIFY, "engineer", 20),
    ),
)


@dataclass
class Monitored:
    """A site, its clock, and a release of ``trial`` that is active."""

    site: Site
    clock: Clock
    digest: str
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))
    count: int = 0

    def numbers(self, **moved: float) -> dict[str, float]:
        """Return what a CT of the usual scanner measures, or of another."""
        noise = float(self.generator.normal(10 + moved.get("noise", 0.0), 1))
        return {"ct_noise": noise, "ct_hu_p50": float(self.generator.normal(50, 4))}

    def run(self, status: str = "done", kernel: str = "", **moved: float) -> str:
        """Close one run, as the pipeline does; return its id."""
        self.count += 1
        self.clock.forward(seconds=60)
        run_id = f"{self.count:032x}"
        words = kernel or str(self.generator.choice(["B30", "B31"]))
        statistics: dict[str, Any] = {
            "acquisition": {"ct_convolution_kernel": words},
            "intensity": self.numbers(**moved),
            "embedding": [],
            "geometry": {"slice_spacing_mm": 3.0 + moved.get("spacing", 0.0)},
            "quality_flags": [],
        }
        request = request_for(
            self.count, run_id=run_id, plugin="trial", release_digest=self.digest,
            study_instance_uid=f"1.2.{self.count}", opened_at=self.clock(),
        )  # fmt: skip
        with self.site.database.transaction() as transaction:
            transaction.add_run(request, "pacs")
            if status != "refused":
                text = json.dumps(statistics)
                transaction.put_statistics(run_id, self.digest, text, "sha256:s")
        self.site.journal.closed(request, status, "TEST" if status != "done" else "")
        self.clock.forward(seconds=30)
        return run_id

    def runs(self, count: int, **moved: Any) -> None:
        """Close several runs alike."""
        for _ in range(count):
            self.run(**moved)


def reviewed(
    place: Monitored,
    run_id: str,
    dsc: float,
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> None:
    """Let somebody assess the result of a run with figures."""
    figures = Figures(dsc, dsc, 2.0, 3.0, 10.0, 1.0, 100.0, *shift_mm)
    one = Assessment(
        f"{place.generator.integers(1 << 40):036x}", run_id, "GTVp", "edit", "page", "p" * 16,
        "clinician", place.clock(), reason="anatomy", figures=figures,
    )  # fmt: skip
    about = About("trial", place.digest, "test-site", "", None)
    with place.site.database.transaction() as transaction:
        transaction.put_assessment(one, about)


def reference_for(place: Monitored, cases: int = 60) -> dict[str, Any]:
    """Return the reference window that the usual scanner gives."""
    observed = [
        Observation(
            f"reference-{number}",
            {**place.numbers(), "slice_spacing_mm": 3.0},
            {"ct_convolution_kernel": str(place.generator.choice(["B30", "B31"]))},
        )
        for number in range(cases)
    ]
    return references.encode(make_reference(place.digest, "sixty cases of a test", observed))


@contextmanager
def monitored_site(root: Path, plan: Plan = PLAN, **changes: Any) -> Iterator[Monitored]:
    """Open a site with an active release, its reference window and a plan."""
    with governed_site(root, **changes) as (site, clock):
        digest = add_release(site, "1.0.0")
        place = Monitored(site, clock, digest)
        raw = json.dumps(reference_for(place)).encode()
        site.registry.attach(digest, references.ATTACHMENT, raw)
        waive(site, digest, APPROVER, "monitored", timedelta(days=90))
        set_plan(site, "trial", digest, plan, PHYSICIST)
        yield place
