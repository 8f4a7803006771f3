"""Judge cases on this machine: read them, ask the release's workers, keep nothing longer.

A repeat is asked of a worker process of its own, started for it: what a warm process kept from
the case before cannot make the answers equal.

Read next: `running.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

from adapters.plugin_geometry import examine_plugin, presentations
from adapters.validation.album import Album
from governance.certification import runtime_of
from plugins.host.case import Case
from plugins.host.manifest import Manifest
from plugins.host.ports import Answer, Json, RunRequest
from plugins.host.runner import ReleaseWorkers
from validation.cohort.cases import CohortFiles
from validation.cohort.linkage import Linkage
from validation.cohort.manifest import Cohort
from validation.cohort.strata import strata_of, with_mandatory
from validation.harness.cases import Evaluation, read_evaluation
from validation.harness.conditions import BASELINE
from validation.harness.evaluate import Bench, Subject, fair_members, judge_case, peak_memory_mb
from validation.harness.plan import LABORATORY, PHANTOM, RunPlan
from validation.harness.results import CaseResult, Condition, Measured, encode_case

CENTROID_ERRORS = tuple(
    f"centroid_error_{axis}_voxels" for axis in ("frame", "row", "column", "x", "y", "z")
)
"""Signed, along the axes of the image, then along those of the patient."""
PATIENCE = 20.0
"""Factor on the manifest's wall time: a machine that judges many cases at once is slow."""


@dataclass(frozen=True, slots=True)
class UnderTest:
    """The release that is judged, as it lies unpacked.

    Parameters
    ----------
    training : of its manifest: which patients each member was trained on.
    releases : folder that holds it unpacked under its digest.
    """

    manifest: Manifest
    digest: str
    training: tuple[Mapping[str, Any], ...]
    releases: Path


class NotingWorkers:
    """The release's workers; note what runtime they answered in."""

    def __init__(self, workers: ReleaseWorkers) -> None:
        self._workers = workers
        self.runtime: dict[str, str] = {}

    def releases(self) -> tuple[str, ...]:
        """Return the digests of the releases that have processes."""
        return self._workers.releases()

    def end(self, release_digest: str) -> None:
        """End the processes of a release."""
        self._workers.end(release_digest)

    def run(self, request: RunRequest, case: Case, *, explain: bool = True) -> Answer:
        """Return the answer of the release."""
        answer = self._workers.run(request, case, explain=explain)
        self.runtime = runtime_of(answer.runtime)
        return answer


class CohortJudge:
    """Judges the cases of a cohort by one release; fulfils `queue.Judge`."""

    def __init__(
        self,
        plan: RunPlan,
        cohort: Cohort,
        files: CohortFiles,
        linkage: Linkage,
        under_test: UnderTest,
        workers: ReleaseWorkers,
    ) -> None:
        self._plan = plan
        self._cohort = cohort
        self._files = files
        self._linkage = linkage
        self._under_test = under_test
        self._workers = workers
        self._kept: dict[str, Evaluation] = {}
        self._lock = Lock()
        self.node = ""
        self.album: Album | None = None

    def judge(self, case_id: str, condition: Condition) -> Json:
        """Return result, measurements and runtime of one case under one condition."""
        if case_id == PHANTOM:
            return self._phantom(condition)
        if condition.repeat:
            with ReleaseWorkers(self._under_test.releases, patience=PATIENCE) as fresh:
                return self._judge(case_id, condition, fresh)
        return self._judge(case_id, condition, self._workers)

    def forget(self, case_id: str) -> None:
        """Let the arrays of a case go."""
        with self._lock:
            self._kept.pop(case_id, None)

    def _judge(self, case_id: str, condition: Condition, workers: ReleaseWorkers) -> Json:
        noting = NotingWorkers(workers)
        plain = condition.name == BASELINE and condition.repeat == 0
        album = self.album if plain else None
        bench = Bench(
            self._under_test.manifest,
            self._under_test.digest,
            noting,
            self._plan.seed,
            self._plan.jitter_mm,
            self._plan.explained,
            seen=album.page(case_id, condition.given) if album else None,
        )
        evaluation = self._evaluation(case_id, condition)
        result, measured = judge_case(
            bench, self._subject(case_id, condition), evaluation, condition
        )
        return {
            "result": encode_case(result),
            "measured": asdict(replace(measured, node=self.node)),
            "runtime": noting.runtime,
        }

    def _phantom(self, condition: Condition) -> Json:
        """Return where the release put the lesion of one presentation of the geometry test."""
        under_test, noting = self._under_test, NotingWorkers(self._workers)
        shown = presentations(self._plan.phantoms)[int(condition.level)]
        (placed,) = examine_plugin(under_test.manifest, under_test.digest, noting, [shown])
        metrics: dict[str, float] = {}
        if placed.image_voxels is not None and placed.patient_voxels is not None:
            values = (*placed.image_voxels, *placed.patient_voxels)
            metrics = dict(zip(CENTROID_ERRORS, values, strict=True))
        outcome, reasons = ("done", ()) if metrics else ("abstained", ("NOT_FOUND",))
        result = CaseResult(
            f"{PHANTOM}-{shown.number}-{shown.position.lower()}", f"{PHANTOM}-{shown.number}",
            LABORATORY, (), condition, outcome, reasons, metrics,
        )  # fmt: skip
        measured = Measured(result.case_id, condition, 0.0, peak_memory_mb(), self.node)
        return {
            "result": encode_case(result),
            "measured": asdict(measured),
            "runtime": noting.runtime,
        }

    def _evaluation(self, case_id: str, condition: Condition) -> Evaluation:
        """Return the case with the roles that it is asked with."""
        with self._lock:
            whole = self._kept.get(case_id)
        if whole is None:
            whole = read_evaluation(self._cohort.case(case_id), self._files)
            with self._lock:
                self._kept[case_id] = whole
        roles = set(condition.given.split("+"))
        if condition.name == "missing-pet":
            roles.add("pet")  # the sweep itself takes it away
        images = {role: item for role, item in whole.case.images.items() if role in roles}
        drawn = {role: item for role, item in whole.case.structure_sets.items() if role in roles}
        return replace(whole, case=replace(whole.case, images=images, structure_sets=drawn))

    def _subject(self, case_id: str, condition: Condition) -> Subject:
        item = self._cohort.case(case_id)
        members = fair_members(
            self._under_test.training, item.patient_group, self._linkage.pseudonym
        )
        strata = strata_of(with_mandatory(self._cohort.strata), item, condition.given.split("+"))
        return Subject(case_id, item.patient_group, item.site, strata, members)
