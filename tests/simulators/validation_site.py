"""A site where a run of the harness has ended: cohort, criteria and results are on record.

Read next: `validation_runs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from adapters.compose import Site
from adapters.documents.canvas import encode_png
from adapters.validation.album import PICTURES, name_of
from adapters.validation.asking import VALIDATION
from adapters.validation.criteria import BY_DIGEST, OPENING
from adapters.validation.running import MEASURED, RESULTS
from audit import canonical
from tests.simulators.validation_runs import CT, PET, results
from validation.cohort import reading
from validation.cohort.manifest import (
    AXES,
    LETTERS,
    Cohort,
    CohortCase,
    CohortFacts,
    FileEntry,
    Provenance,
    Reference,
)
from validation.cohort.strata import StratumRule
from validation.cohort.wear import Opening
from validation.criteria.document import Criteria, Criterion
from validation.criteria.reading import digest_of_document
from validation.criteria.reading import encode as encode_criteria
from validation.harness import plan as plans
from validation.harness.plan import RunPlan
from validation.harness.results import RunResults, content_digest, encode

HERE = "site-a"
RULES = (StratumRule("men", {"sex": "M"}), StratumRule("women", {"sex": "F"}))


def criteria(floor: float = 0.75, *, geometry: bool = False, **changes: Any) -> bytes:
    """Return a document of criteria: a floor for all, one for each group, and a time.

    Parameters
    ----------
    geometry : ask for something, too, that the made-up runs never measure.
    """
    items: Sequence[Criterion] = (
        Criterion("dsc", "floor", "saves time", metric="dsc", given="ct+pet", at_least=floor),
        Criterion("groups", "subgroup-floor", "nobody left behind", metric="dsc", given="ct+pet",
                  stratum="every", at_least=floor - 0.1, fails="stratum"),
        Criterion("time", "latency", "there when the study opens", at_most=60.0),
        *([Criterion("geometry", "geometry", "no mirror", at_most=0.25)] if geometry else []),
    )  # fmt: skip
    values: dict[str, Any] = {
        "plugin": "trial", "method": "cross-fitted", "criteria": tuple(items), "strata": RULES,
        "purpose": "Trial.", "known_before": "nothing",
    }  # fmt: skip
    return encode_criteria(Criteria(**(values | changes)))


def cohort(run: RunResults, site: str = HERE) -> Cohort:
    """Return the manifest of the cases of a run."""
    cases = {item.case_id: item for item in run.cases}
    return Cohort(
        name="phantoms", version="1.0", purpose="Trial.", reference_standard="Analytic shapes.",
        legal_basis="No person.", de_identification="Nothing to remove.",
        data_governance=dict.fromkeys(LETTERS, "Trial."), linkage_key_id="public:trial",
        sites={site: "A site"}, splits={"test": "all"}, strata=RULES,
        target=dict.fromkeys(AXES, ("unknown",)) | {"tumour_site": ("rib",)},
        cases=tuple(
            CohortCase(
                case_id, item.patient_group, site,
                CohortFacts(16.0 if "under-18" in item.strata else 40.0,
                            sex="M" if "men" in item.strata else "F"),
                {"ct": FileEntry(f"{case_id}/ct.bin", "sha256:" + "5" * 64, 1)},
                Reference(FileEntry(f"{case_id}/ref.bin", "sha256:" + "6" * 64, 1),
                          Provenance("a program", "", "analytic", "analytic")),
            )
            for case_id, item in sorted(cases.items())
        ),
    )  # fmt: skip


def finished_run(
    site: Site, release_digest: str, *, floor: float = 0.75, geometry: bool = False,
    place: str = HERE, asked: bytes | None = None, **changes: Any,
) -> RunResults:  # fmt: skip
    """Put a run of the harness into the home as the harness leaves it, and return its results.

    Parameters
    ----------
    asked : other criteria than a floor.
    changes : of `validation_runs.results`, e.g. ``n`` or ``dsc``.
    """
    document = asked or criteria(floor, geometry=geometry)
    now = site.now()
    run = results(at=now, **changes)
    run = replace(run, cases=tuple(replace(item, site=place) for item in run.cases))
    manifest = cohort(run, place)
    digest = digest_of_document(document)
    run = replace(
        run, release_digest=release_digest, cohort_digest=reading.digest(manifest),
        criteria_digest=digest, criteria_recorded_at=now - timedelta(hours=1),
    )  # fmt: skip
    write_files(site, run)
    folder = site.home.cohorts / "phantoms"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cohort.json").write_bytes(reading.encode(manifest))
    on_record(site, run, canonical.decode(document), manifest)
    return run


def on_record(site: Site, run: RunResults, document: Any, manifest: Cohort) -> None:
    """Put criteria, look, begin and end of a run on record, as the harness does."""
    plan = plans.encode(
        RunPlan(
            run.release_digest, run.cohort_digest, run.criteria_digest, run.metric_pack,
            run.method, run.seed,
        )
    )  # fmt: skip
    opening = Opening(
        run.run_id, run.release_digest, run.criteria_digest, run.cohort_digest, "physicist"
    )
    with site.database.transaction() as transaction:
        for kind, name, content, person, at in (
            (BY_DIGEST, run.criteria_digest, document, "engineer", run.criteria_recorded_at),
            (OPENING, reading.content_digest(manifest), asdict(opening), "physicist", site.now()),
            (VALIDATION, run.run_id, {"plan": plan, "results_digest": ""}, "physicist",
             site.now()),
            (VALIDATION, run.run_id, {"plan": plan, "results_digest": content_digest(run)},
             "physicist", site.now()),
        ):  # fmt: skip
            put = transaction.put_governed(kind, name, content, person, at)
            site.journal.governed(transaction, put)
    site.seal()


def write_files(site: Site, run: RunResults) -> Path:
    """Write results and measurements of a run; return its folder."""
    folder = site.home.root / "validations" / run.run_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULTS).write_bytes(encode(run))
    rows = [
        {"case_id": m.case_id, "seconds": m.seconds, "peak_memory_mb": m.peak_memory_mb,
         "node": m.node,
         "condition": {"name": m.condition.name, "level": m.condition.level,
                       "given": m.condition.given, "repeat": m.condition.repeat}}
        for m in run.measured
    ]  # fmt: skip
    (folder / MEASURED).write_bytes(canonical.encode({"measured": rows}))
    return folder


def drawn(folder: Path, run: RunResults) -> dict[str, bytes]:
    """Write a picture of every unchanged case of a run; return them by name."""
    (folder / PICTURES).mkdir(parents=True)
    found = {}
    for number, case in enumerate(sorted({item.case_id for item in run.cases})):
        for given in (PET, CT):
            grey = np.full((4, 4, 3), number, dtype=np.uint8)
            found[name_of(case, given)] = encode_png(grey)
    for name, content in found.items():
        (folder / PICTURES / name).write_bytes(content)
    return found
