"""Studies that a release under test and the active one both answer, compared as at any site.

Read next: `governed_site.py`.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

from adapters.compose import Site
from adapters.governance.comparing import compare_pairs
from adapters.rt.write_phantom import PhantomStudy, encode_limb
from plugins.host.findings import Segmentation
from plugins.host.ports import Answer
from tests.simulators.governed_site import Clock
from tests.simulators.run_values import answer_for
from validation.phantoms.limb import LimbParameters, LimbPhantom, limb

COARSE = LimbParameters(has_pet=False, margin_mm=(15.0, 30.0, 30.0), ct_spacing_mm=(6.0, 3.0, 3.0))
_numbers = itertools.count(1)


@cache
def coarse_limb() -> LimbPhantom:
    """Return a phantom of few, small slices; written under many names."""
    return limb(COARSE)


def send_study(site: Site, clock: Clock) -> str:
    """Store the study of another patient, let it become quiet, route it; return its UID."""
    number = next(_numbers)
    written = PhantomStudy(name=f"pair-{number}", patient_id=f"PAIR-{number}")
    study = written.uid(coarse_limb(), "study")
    files = tuple(encode_limb(coarse_limb(), written).values())
    site.archives["pacs"].store(study, files)
    site.feed.poll()
    clock.forward(seconds=70)
    site.feed.settle()
    return study


def answer_runs(site: Site, study: str, *, missed: int = 1) -> int:
    """Answer every open run of a study; what runs in shadow contours so many voxels less."""
    with site.database.reading() as transaction:
        rows = [row for row in transaction.open_runs() if row.study_instance_uid == study]
    for row in rows:
        answer = _contour(missed if row.mode == "shadow" else 0)
        site.journal.opened(row.request)
        site.house.monitor.observe(row.request, answer)
        site.journal.closed(row.request, "done")
    return len(rows)


def compare_studies(site: Site, clock: Clock, count: int, *, missed: int = 1) -> None:
    """Let so many studies be answered by both releases, and compare what they said."""
    for _ in range(count):
        found = answer_runs(site, send_study(site, clock), missed=missed)
        assert found == 2, f"expected a live run and one in shadow, found {found}"
    assert compare_pairs(site) == count


def _contour(missed: int) -> Answer:
    """Return an answer whose region of eight voxels lacks some."""
    answer = answer_for()
    (region,) = (item for item in answer.prediction.findings if isinstance(item, Segmentation))
    mask = region.mask.copy()
    mask.ravel()[mask.ravel().nonzero()[0][:missed]] = False
    other = replace(region, mask=mask)
    findings = tuple(other if item is region else item for item in answer.prediction.findings)
    return replace(answer, prediction=replace(answer.prediction, findings=findings))
