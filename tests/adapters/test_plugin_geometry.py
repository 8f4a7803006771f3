"""The geometry test through a release: the true one passes, copies that misplace are refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from adapters.plugin_geometry import (
    PAIRS,
    Presentation,
    draw,
    examine_plugin,
    presentations,
    read_back,
)
from adapters.release_geometry import watch_releases
from adapters.rt.write_phantom import ORIENTATIONS
from governance.gates import Passage
from governance.known_answer import PLUGIN_FAILED, PlacedAnswer, PluginAnswer, PluginGeometryGate
from governance.stops import stop_of
from plugins.host.runner import ReleaseWorkers
from tests.simulators.governed_site import add_release, governed_site
from tests.simulators.misplacing_releases import FAULTS, misplacing
from tests.simulators.validation_cohort import contouring_under_test


def answer(*shifts: tuple[float, float, float]) -> PluginAnswer:
    """Return an answer with these distances along both kinds of axes."""
    return PluginAnswer(tuple(PlacedAnswer("HFS", item, item) for item in shifts))


def test_what_counts_is_the_mean_and_the_farthest() -> None:
    """Errors that cancel pass; half a voxel in common, one far lesion or a missed one do not."""
    assert answer((0.4, -0.9, 0.2), (-0.4, 0.9, 0.1)).passed
    assert not answer((0.0, 0.5, 0.0), (0.0, 0.5, 0.0)).passed
    assert not answer((0.0, 12.0, 0.0), (0.0, -12.0, 0.0)).passed
    assert not PluginAnswer((PlacedAnswer("HFS", None, None),)).passed
    assert not PluginAnswer(()).passed


def test_every_position_and_every_handedness_is_shown() -> None:
    """16 presentations: eight positions twice, eight handedness once in each of a pair."""
    shown = presentations()
    assert sorted(item.position for item in shown) == sorted(2 * list(ORIENTATIONS))
    assert {frozenset(pair) for pair in PAIRS} == {
        frozenset((shown[n].position, shown[n + 1].position)) for n in range(0, 16, 2)
    }
    assert {item.tilt_deg for item in shown} == {0.0, 6.0, -6.0}
    assert len({item.spacing_mm for item in shown}) == 3


@pytest.mark.parametrize("position", ["HFS", "FFDL"])
def test_a_phantom_is_read_where_it_was_drawn(position: str) -> None:
    """Written tilted and in reversed order, the drawn lesion's voxels lie around its place."""
    shown = Presentation(3, position, tilt_deg=6.0, reversed_order=True)
    series, place = read_back(shown)
    drawn = draw(shown)
    volume = series["CT"]
    assert sorted(volume.array.shape) == sorted(drawn.ct_hu.shape)
    index = volume.geometry.to_index(place)
    assert ((index > 0) & (index < np.asarray(volume.array.shape) - 1)).all()
    middle = (np.asarray(volume.array.shape) - 1) / 2
    assert np.abs(index - middle).max() > 1.5, "a mirror would not show"
    mask = np.argwhere(drawn.tumour).mean(axis=0)
    nearest = volume.array[tuple(np.rint(index).astype(int))]
    assert -60 < nearest < 120, mask


@pytest.mark.slow
@pytest.mark.reg("AIA-15.4", "VAL-1")
@pytest.mark.xdist_group("plugin-geometry")
@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_one_member_tells_the_true_release(fault: str, tmp_path: Path) -> None:
    """One member without mirroring answers all presentations: copies are refused, it is not."""
    under_test = misplacing(tmp_path, fault) if fault else contouring_under_test(tmp_path)
    quick = replace(under_test.manifest, parameters={"members": "fold-2", "mirrored": False})
    with ReleaseWorkers(under_test.releases, patience=20.0) as workers:
        found = PluginAnswer(examine_plugin(quick, under_test.digest, workers, presentations()))
    assert found.passed == (fault == ""), found.words


@pytest.mark.acceptance
@pytest.mark.reg("AIA-15.4", "VAL-1")
@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_only_the_true_release_passes(fault: str, tmp_path: Path) -> None:
    """Mirrored, axis-swapped and half-voxel-shifted copies are refused; the release is not."""
    under_test = misplacing(tmp_path, fault) if fault else contouring_under_test(tmp_path)
    with ReleaseWorkers(under_test.releases, patience=20.0) as workers:
        found = PluginAnswer(
            examine_plugin(under_test.manifest, under_test.digest, workers, presentations())
        )
    assert found.passed == (fault == ""), found.words


def test_a_release_in_use_is_tried_daily_and_stopped(tmp_path: Path) -> None:
    """At first sight nothing, a day later a test; what misplaces stops its plugin."""
    broken = answer((0.0, 0.5, 0.0))
    with governed_site(tmp_path, mode="clinical") as (site, clock):
        digest = add_release(site, "1.0.0")
        with site.database.transaction() as transaction:
            (present,) = transaction.deployments()
            transaction.put_deployment(replace(present, state="active"))
        assert watch_releases(site, lambda _: broken) == ()
        clock.forward(hours=25)
        assert watch_releases(site, lambda _: broken) == (digest,)
        with site.database.reading() as transaction:
            assert stop_of(transaction, present.plugin) is not None
        assert watch_releases(site, lambda _: broken) == ()


def test_the_gate_objects_to_clinical_use_alone() -> None:
    """A release that misplaces may be looked at in research mode; the way back stays open."""
    gate = PluginGeometryGate(lambda _: answer((0.0, 0.5, 0.0)))

    def asked(mode: str, before: str, after: str) -> list[str]:
        passage = Passage(
            "s", mode, "p", "d", {}, before, after, "x", "approver", datetime.now(UTC)
        )
        return [item.code for item in gate(passage, None)]  # type: ignore[arg-type]

    assert asked("clinical", "approved", "active") == [PLUGIN_FAILED]
    assert asked("research", "approved", "active") == []
    assert asked("clinical", "standby", "active") == []
