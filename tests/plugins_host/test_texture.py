"""Noise, edges and bone of an image, which the host measures beside every plugin."""

import numpy as np
import pytest

from plugins.host.case import Case, Subject
from plugins.host.findings import CaseStatistics
from plugins.host.images import Geometry, Volume
from plugins.host.texture import texture, with_texture


def _volume(array: np.ndarray) -> Volume:
    axes = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    geometry = Geometry(array.shape, (3.0, 1.0, 1.0), (0.0, 0.0, 0.0), axes, "1.2")
    return Volume(array.astype(np.float32), geometry, "CT", "[hnsf'U]", "1", "2", "3", ("4",))


def test_noise_is_the_standard_deviation_of_white_noise_on_a_slope() -> None:
    """A linear ramp in soft tissue with 8 HU of noise measures 8 HU."""
    generator = np.random.default_rng(1)
    ramp = np.linspace(10, 80, 128)[np.newaxis, np.newaxis, :] + np.zeros((12, 128, 1))
    found = texture("ct", _volume(ramp + generator.normal(0, 8, ramp.shape)))
    assert found["ct_noise"] == pytest.approx(8.0, rel=0.05)
    assert "ct_bone_p95" not in found


def test_bone_and_edges_are_measured_and_small_images_are_not() -> None:
    """A block of 1000 HU gives its own value and a steep edge."""
    array = np.zeros((6, 64, 64))
    array[:, 16:48, 16:48] = 1000.0
    found = texture("ct", _volume(array))
    assert found["ct_bone_p95"] == 1000.0
    assert found["ct_edge"] == 500.0
    assert texture("ct", _volume(np.zeros((3, 4, 2)))) == {}


def test_a_lower_tube_voltage_moves_noise_times_bone_more_than_either() -> None:
    """Denser bone and more noise at once; without bone there is no product."""
    generator = np.random.default_rng(2)
    soft = np.full((6, 64, 64), 40.0) + generator.normal(0, 8, (6, 64, 64))
    high, low = soft.copy(), soft + generator.normal(0, 8, soft.shape)
    high[:, 40:, :], low[:, 40:, :] = 1000.0, 1150.0
    before, after = texture("ct", _volume(high)), texture("ct", _volume(low))
    assert before["ct_noise_bone"] == pytest.approx(before["ct_noise"])
    rise = {name: after[name] / before[name] for name in ("ct_noise", "ct_bone_p95")}
    assert after["ct_noise_bone"] / before["ct_noise_bone"] == pytest.approx(
        rise["ct_noise"] * rise["ct_bone_p95"]
    )
    assert "ct_noise_bone" not in texture("ct", _volume(soft))


def test_what_the_plugin_says_holds() -> None:
    """A plugin's own number of the same name is not overwritten."""
    case = Case("1", Subject(), {"ct": _volume(np.full((3, 16, 16), 40.0))})
    given = CaseStatistics(intensity={"ct_noise": 3.0})
    assert with_texture(case, given).intensity["ct_noise"] == 3.0
