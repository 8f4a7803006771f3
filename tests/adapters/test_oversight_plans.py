"""Doses on grids of their own: what is shared, how they differ; points by their codes."""

import numpy as np
import pytest

from adapters.oversight.plans import point_gy, voxel_difference
from models.physics.dvh import DoseVolumeHistogram
from plugins.host.images import Geometry, Volume


def dose(values, spacing=(2.0, 2.0, 2.0), origin=(0.0, 0.0, 0.0)):
    """Return a dose on an axial grid."""
    array = np.asarray(values, np.float32)
    geometry = Geometry(
        array.shape, spacing, origin, ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)), "1.2.3"
    )
    return Volume(array, geometry, "RTDOSE", "Gy", "1.2", "1.3", "1.4", ("1.5",), {}, ())


def ramp(shape, spacing, origin):
    """Return a dose of 1 Gy a millimetre along the columns, from 10 Gy at x = 0."""
    x = origin[0] + np.arange(shape[2]) * spacing[2]
    return dose(np.broadcast_to(10 + x, shape), spacing, origin)


def test_a_linear_dose_is_read_exactly_between_the_voxels_of_another_grid():
    """Planned on 3 mm from another corner, 1.5 Gy higher: that is the difference, everywhere."""
    predicted = ramp((4, 5, 6), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    planned = ramp((6, 8, 9), (3.0, 3.0, 3.0), (-5.0, -4.0, -3.0))
    planned = dose(planned.array + 1.5, (3.0, 3.0, 3.0), (-5.0, -4.0, -3.0))
    covered, error = voxel_difference(predicted, planned)
    assert covered == 1.0
    assert error == pytest.approx(1.5, abs=1e-5)


def test_voxels_beyond_the_planned_grid_are_told_and_not_compared():
    """Half of the columns lie in the plan's grid; voxels without dose do not count at all."""
    values = np.full((2, 2, 8), 10.0, np.float32)
    values[1] = 0
    planned = dose(np.full((2, 2, 4), 12.0))
    assert voxel_difference(dose(values), planned) == (0.5, pytest.approx(2.0))
    assert voxel_difference(dose(values), dose(values, origin=(90.0, 0.0, 0.0)))[0] == 0.0
    assert voxel_difference(dose(0 * values), planned)[0] == 0.0


def test_points_are_read_by_their_codes():
    """Shares in per cent, volumes in cubic centimetres; what is no dose point is no number."""
    held = DoseVolumeHistogram(np.full(100, 100.0), 0.5, 0.0, 50.0, 25.0, 0.0)
    found = {name: point_gy(held, name) for name in ("Mean", "Max", "Min", "D95", "D1cc")}
    assert found == {
        "Mean": 25.0, "Max": 50.0, "Min": 0.0,
        "D95": pytest.approx(2.5), "D1cc": pytest.approx(45.0),
    }  # fmt: skip
    for name in ("V20Gy", "D", "Dmean", "D120", ""):
        assert np.isnan(point_gy(held, name))
