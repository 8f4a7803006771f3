"""The plugin with hand-set weights, made once for each module."""

import pytest

from tests.simulators.hand_set_contouring import Bench, hand_set_bench


@pytest.fixture(scope="module")
def bench() -> Bench:
    """Return the plugin with an ensemble of two hand-set members, and the limb."""
    return hand_set_bench()
