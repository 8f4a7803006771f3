"""An input of another part of the body is one outside of the purpose of the release under test."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import pytest

from plugins.host.case import Case, Subject
from plugins.host.images import Geometry, Volume
from plugins.host.manifest import Envelope, Input, Manifest, Output
from validation.harness.cases import Evaluation
from validation.harness.evaluate import Bench, judge_case
from validation.harness.evaluate import Subject as Judged
from validation.harness.results import Condition

AXIAL = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


class NoWorkers:
    """Workers that must not be asked."""

    def releases(self) -> tuple[str, ...]:
        """Return nothing: none runs."""
        return ()

    def end(self, release_digest: str) -> None:
        """End nothing."""

    def run(self, *given: object, **named: object) -> NoReturn:
        """Fail: what lies outside the purpose is refused before a worker is asked."""
        raise AssertionError("a worker was asked")


@pytest.mark.parametrize(
    ("stated", "purpose"),
    [
        (None, ("HEAD", "NECK")),
        ("HEAD", ("HEAD", "NECK")),
        (None, ("THIGH", "FOOT")),
        ("THIGH", ("THIGH", "FOOT")),
    ],
)
def test_a_part_outside_of_the_purpose_is_refused(
    stated: str | None, purpose: tuple[str, ...]
) -> None:
    """Also where no header says which part the image shows: it is not taken for the head then."""
    geometry = Geometry((4, 8, 8), (3.0, 2.0, 2.0), (0.0, 0.0, 0.0), AXIAL, "1.2")
    ct = Volume(
        np.zeros((4, 8, 8), np.float32), geometry, "CT", "[hnsf'U]", "1", "1.9", "1",
        tuple(f"1.{number}" for number in range(4)),
    )  # fmt: skip
    manifest = Manifest(
        *("trial", "1.0.0", "Trial", "Test", "analytic"),
        inputs=(Input("ct", "CT"),),
        outputs=(Output("Segmentation", "Bone", "1", "SCT", "Bone"),),
        envelope=Envelope(body_parts=purpose),
    )
    evaluation = Evaluation(Case("1.3", Subject(), {"ct": ct}, body_part=stated), None)
    bench = Bench(manifest, "sha256:" + "0" * 64, NoWorkers(), 1)
    condition = Condition("other-body", 1.0, "ct")
    result, _ = judge_case(bench, Judged("case-001", "p-1", "here", ()), evaluation, condition)
    assert result.outcome == "refused"
    assert [reason.split()[0] for reason in result.reasons] == ["BODY_PART"]
