"""A small network and a made-up patient for the tests of `models`."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from models.contouring.ensemble import Ensemble, MemberHeader, decode_member, encode_member
from models.contouring.inputs import CHANNELS, Grid
from models.training.contouring.cases import Case
from models.training.contouring.recipe import Recipe
from models.training.contouring.train import new_state

SMALL = Recipe(
    channels=(8, 16, 32, 64),
    step_count=30,
    decay_steps=4,
    warmup_steps=2,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread: small arrays gain nothing from more, and a busy machine loses much."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def small_recipe() -> Recipe:
    """Return a recipe that trains in seconds."""
    return SMALL


@pytest.fixture(scope="session")
def toy_case() -> Case:
    """Return a limb of 50 HU with an avid ellipsoid of 35 HU off its middle."""
    grid = Grid((36, 56, 60), (3.27, 2.0, 2.0), (-100.0, 20.0, -40.0))
    pet_grid = Grid((36, 24, 26), (3.27, 4.7, 4.7), (-100.0, 21.0, -38.0))
    generator = np.random.default_rng(3)

    def distance(of: Grid) -> np.ndarray:
        z, y, x = np.meshgrid(*(of.positions_mm(axis) for axis in range(3)), indexing="ij")
        return np.sqrt(((z + 50) / 24) ** 2 + ((y - 70) / 18) ** 2 + ((x - 12) / 16) ** 2)

    gtv = distance(grid) <= 1
    ct = np.where(gtv, 35.0, 50.0) + generator.normal(0, 8, grid.shape)
    pet = np.where(distance(pet_grid) <= 1, 7.0, 0.8)
    return Case("STS_900", ct.astype(np.float32), grid, gtv, pet.astype(np.float32), pet_grid)


def member_bytes(fold: int, patients: frozenset[str]) -> bytes:
    """Return an untrained member that claims to be trained on the given patients."""
    header = MemberHeader(fold, SMALL.channels, CHANNELS, SMALL.digest, patients)
    return encode_member(new_state(SMALL, fold).average, header)


@pytest.fixture(scope="session")
def contents() -> tuple[bytes, ...]:
    """Return two members: one saw patients A and B, the other B and C."""
    return (member_bytes(0, frozenset("AB")), member_bytes(1, frozenset("BC")))


@pytest.fixture(scope="session")
def small_ensemble(contents: tuple[bytes, ...]) -> Ensemble:
    """Return the ensemble of the two members."""
    return Ensemble([decode_member(content) for content in contents])
