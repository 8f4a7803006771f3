"""Golden and routing replays are made from what a site did, and change control takes them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapters.change.evidence import read_context
from adapters.change.replays import golden_replay, routing_replay, write_replay
from adapters.change.signing import sign_evidence
from adapters.compose import Site
from adapters.database.runs import RunRow
from adapters.governance.drill_papers import ENGINEER
from adapters.governance.drill_site import add_people, add_release
from audit.errors import NotFoundError
from governance.change.proofs import replay_proofs, routing_proofs
from tests.simulators.example_site import prepare, served, small_phantom


@dataclass(frozen=True)
class Worked:
    """A site that answered two studies with its active release, and two other releases."""

    site: Site
    active: str
    same: str
    other: str


def _done(site: Site) -> tuple[RunRow, ...]:
    with site.database.reading() as transaction:
        return transaction.runs(status="done")


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worked]:
    """Answer two studies; add a release of the same threshold and one of another."""
    root = tmp_path_factory.mktemp("replays")
    with served(prepare(root), root) as (site, turn):
        studies = [small_phantom(seed) for seed in (0, 1)]
        for uid, files in studies:
            site.archives["pacs"].store(uid, files)
        ended = time.monotonic() + 120
        while len(_done(site)) < 2:
            assert time.monotonic() < ended, "the studies were not answered"
            turn()
            time.sleep(0.05)
        add_people(site)
        active = _done(site)[0].release_digest
        same, other = add_release(site, "1.0.1", 300.0), add_release(site, "1.0.2", 330.0)
        yield Worked(site, active, same, other)


def test_equal_releases_give_equal_outputs(worked: Worked) -> None:
    """Another version of the same rules: every output equal, nothing differs; it is a proof."""
    found = golden_replay(worked.site, worked.active, worked.same, cases=59)
    assert len({row["case"] for row in found["cases"]}) == 2
    assert all(row["old"] == row["new"] for row in found["cases"])
    assert found["largest_differences"] == {"voxels": 0.0, "volume_ml": 0.0}


def test_another_threshold_differs_by_so_many_voxels(worked: Worked) -> None:
    """Outputs differ in each case, and the largest difference is told in voxels and ml."""
    found = golden_replay(worked.site, worked.active, worked.other, cases=59)
    assert all(row["old"] != row["new"] for row in found["cases"])
    assert found["largest_differences"]["voxels"] > 0
    assert found["largest_differences"]["volume_ml"] > 0


def test_only_so_many_cases_are_run(worked: Worked) -> None:
    """The newest input alone, where one is asked for."""
    assert len(golden_replay(worked.site, worked.active, worked.same, cases=1)["cases"]) == 1


def test_nothing_of_a_replay_is_kept(worked: Worked) -> None:
    """Runs, documents and what lies in the archive are the same before and after."""
    site = worked.site

    def held() -> tuple[int, int]:
        with site.database.reading() as transaction:
            runs = transaction.runs()
        series = sum(len(site.archives["pacs"].search_series(r.study_instance_uid)) for r in runs)
        return len(runs), series

    before = held()
    golden_replay(site, worked.active, worked.other, cases=2)
    assert held() == before


def test_routing_is_tried_on_the_studies_that_came(worked: Worked) -> None:
    """Both releases admit both studies; a release for another modality admits none."""
    found = routing_replay(worked.site, worked.active, worked.same, days=90)
    assert (found["study_count"], found["admitted_old"], found["admitted_new"]) == (2, 2, 2)
    assert found["admitted_unvalidated"] == 0
    assert found["gone"] == 0


def test_signed_replays_are_evidence(worked: Worked, tmp_path: Path) -> None:
    """Change control reads both files once a person signed them, and takes what they show."""
    digests = worked.active, worked.same
    golden = golden_replay(worked.site, *digests, cases=59)
    routing = routing_replay(worked.site, *digests, days=90)
    for name, content in (("golden", golden), ("routing", routing)):
        write_replay(content, tmp_path / f"{name}.json")
        sign_evidence(worked.site, tmp_path / f"{name}.json", ENGINEER)
    context = {"golden_replay": "golden.json", "routing_replay": "routing.json"}
    (tmp_path / "context.json").write_text(json.dumps(context))
    brought = read_context(tmp_path / "context.json", worked.site.registry.trust())
    replay, tried = brought.declaration.golden_replay, brought.declaration.routing_replay
    assert replay_proofs(replay, digests, 2, {}) == {"golden_replay", "numeric_tolerance"}
    assert replay_proofs(replay, digests, 59, {}) == frozenset()  # too few cases
    assert routing_proofs(tried, digests) == {"routing_replay"}


def test_a_plugin_that_never_ran_has_no_replay(tmp_path: Path) -> None:
    """Without a recorded input there is nothing to compare."""
    with served(prepare(tmp_path), tmp_path) as (site, _):
        with site.database.reading() as transaction:
            (row,) = transaction.releases()
        with pytest.raises(NotFoundError, match="recorded run"):
            golden_replay(site, row.digest, row.digest)
        assert routing_replay(site, row.digest, row.digest)["study_count"] == 0
