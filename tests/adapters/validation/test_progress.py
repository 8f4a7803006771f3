"""How far an open run of the harness is: read from the work engine while it works."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from adapters.compose import Site
from adapters.validation.asking import VALIDATION
from adapters.validation.progress import Progress, progress_of
from adapters.validation.queue import QueueSettings, validation_queue
from adapters.validation.standings import standing
from adapters.web.validation import validations_page
from adapters.web.validation_run import run_page
from audit.errors import InputError
from tests.simulators.governed_site import add_release, governed_site
from tests.simulators.validation_cohort import phantom_cohort
from validation.cohort import reading
from validation.cohort.manifest import Cohort
from validation.harness import plan as plans
from validation.harness.plan import RunPlan
from validation.harness.results import Condition


class Judging:
    """Answers case 0, fails on case 1, and waits in the second look at case 2."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def judge(self, case_id: str, condition: Condition) -> dict[str, Any]:
        """Return an answer of the harness in form."""
        if case_id == "case-1":
            raise InputError("expected an image, found none")
        if case_id == "case-2" and condition.given == "ct":
            self.reached.set()
            self.go_on.wait(60)
        return {"result": case_id}

    def forget(self, case_id: str) -> None:
        """Keep nothing."""


def asked(site: Site) -> tuple[RunPlan, Cohort]:
    """Put the beginning of a run on four phantoms on record, as the harness does."""
    folder = site.home.cohorts / "phantoms"
    cohort = phantom_cohort(folder, 4)
    (folder / "cohort.json").write_bytes(reading.encode(cohort))
    digest = add_release(site, "1.0.0")
    plan = RunPlan(digest, reading.digest(cohort), "sha256:" + "3" * 64, "pack", "held-out",
                   repeat_cases=1, repeats=1)  # fmt: skip
    with site.database.transaction() as transaction:
        content = {"plan": plans.encode(plan), "results_digest": ""}
        transaction.put_governed(VALIDATION, plan.run_id, content, "physicist", site.now())
    (site.home.root / "validations" / plan.run_id).mkdir(parents=True)
    return plan, cohort


def test_an_open_run_tells_what_waits_works_is_done_and_failed(tmp_path: Path) -> None:
    """Before the engine knows anything all waits; then every case stands where it is."""
    with governed_site(tmp_path) as (site, _):
        plan, cohort = asked(site)
        run = standing(site, plan.run_id)
        assert run.state == "open"
        nothing = progress_of(site, run, cohort)
        assert (nothing.count("waiting"), nothing.looks, nothing.at) == (4, 0, None)
        found = _at_work(site, plan, cohort)
        states = {case.case_id: case.state for case in found.cases}
        assert states == {"case-0": "done", "case-1": "failed", "case-2": "working",
                          "case-3": "waiting"}  # fmt: skip
        done, _, working, _ = found.cases
        assert (done.looks, working.looks) == (done.asked, 1)
        assert working.node == "node-a"
        assert found.asked == 4 * 2 + 1
        assert found.at is not None
        (line,) = validations_page(site).open
        assert line.queue is not None
        assert (line.queue.failed, line.queue.asked) == (1, found.asked)
        page = run_page(site, plan.run_id, "en")
        assert page.queue is not None
        assert [case.state for case in page.queue.cases][:2] == ["done", "failed"]
        assert page.files == ()


def _at_work(site: Site, plan: RunPlan, cohort: Cohort) -> Progress:
    """Return what is seen of the queue while its third case is being judged."""
    url = f"sqlite:///{site.home.root / 'validations' / plan.run_id / 'engine.db'}"
    judge = Judging()
    settings = QueueSettings(url, plan.run_id, "validation-node-a", 1)
    with validation_queue(settings, judge) as queue:
        for case in cohort.cases:
            queue.submit(case.case_id, plan.conditions(cohort, case))
        try:
            assert judge.reached.wait(60)
            return progress_of(site, standing(site, plan.run_id), cohort)
        finally:
            judge.go_on.set()
