"""The geometry known-answer test: it passes here, and sees a shift, a mirror and a lost voxel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adapters.rt.raster
import adapters.rt.read_series
from adapters.governance.certifying import watch_geometry
from adapters.governance.promoting import activate
from adapters.known_answer import examine_geometry
from audit.errors import RefusalError
from governance.known_answer import FAILED, GeometryGate, KnownAnswer
from governance.stops import stop_of
from tests.simulators.governed_site import (
    APPROVER,
    add_release,
    approved,
    governed_site,
    state_of,
)

BROKEN = KnownAnswer((0.0, 0.5, 0.0), 0, 0)


def test_this_installation_passes() -> None:
    """Image and mask come back voxel by voxel, the lesion within a quarter of a voxel."""
    found = examine_geometry()
    assert found.passed, found.words
    assert (found.image_differs, found.mask_differs) == (0, 0)
    assert max(abs(value) for value in found.shift_voxels) < 0.1


@pytest.mark.parametrize("fault", ["half a voxel", "mirrored", "transposed masks"])
def test_each_fault_of_geometry_is_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-voxel shift, a mirrored image and a mask that came back otherwise fail."""
    read, drawn = adapters.rt.read_series.read_series, adapters.rt.raster.mask_from_contours

    def shifted(*given: Any, **named: Any) -> Any:
        volume, source = read(*given, **named)
        if fault == "mirrored":
            return replace(volume, array=volume.array[:, :, ::-1]), source
        spacing = volume.geometry.spacing_mm
        x, y, z = volume.geometry.origin_mm
        moved = replace(volume.geometry, origin_mm=(x + spacing[2] / 2, y, z))
        return replace(volume, geometry=moved), source

    def turned(*given: Any) -> Any:
        return np.ascontiguousarray(drawn(*given)[:, ::-1, :])

    if fault == "transposed masks":
        monkeypatch.setattr(adapters.rt.raster, "mask_from_contours", turned)
    else:
        monkeypatch.setattr(adapters.rt.read_series, "read_series", shifted)
    assert not examine_geometry().passed


@pytest.mark.reg("AIA-43.4")
def test_nothing_comes_into_clinical_use_where_the_test_fails(tmp_path: Path) -> None:
    """The gate objects in clinical mode, and the daily test stops what runs, once."""
    with governed_site(tmp_path, mode="clinical") as (site, _):
        assert [gate for gate in site.gates if isinstance(gate, GeometryGate)]
        gates = tuple(
            GeometryGate(lambda: BROKEN) if isinstance(gate, GeometryGate) else gate
            for gate in site.gates
        )
        digest = approved(site, add_release(site, "1.0.0", evidence="real"))
        with pytest.raises(RefusalError) as caught:
            activate(replace(site, gates=gates), digest, APPROVER, "now")
        assert caught.value.reasons == (FAILED,)
        activate(site, digest, APPROVER, "now")
        assert state_of(site, digest) == "active"
        assert watch_geometry(site).passed
        with site.database.reading() as transaction:
            assert stop_of(transaction, "trial") is None
        for _ in range(2):
            watch_geometry(site, lambda: BROKEN)
        with site.database.reading() as transaction:
            (stop,) = transaction.governed_history("stop", "everything")
        assert (stop.content["reason"], stop.recorded_by) == (FAILED, "service:governance")


def test_a_research_site_is_told_and_not_stopped(tmp_path: Path) -> None:
    """In research mode a failed test is in the program log and in `osteon doctor`."""
    with governed_site(tmp_path) as (site, _):
        watch_geometry(site, lambda: BROKEN)
        with site.database.reading() as transaction:
            assert stop_of(transaction, "trial") is None
