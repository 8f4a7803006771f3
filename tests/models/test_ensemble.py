"""The ensemble: files, held-out selection, votes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.contouring.ensemble import Ensemble, decode_member, encode_member, members_unseen
from models.contouring.inputs import CHANNELS


def _channels(size: int = 32) -> np.ndarray:
    """Return random channels on a small grid."""
    generator = np.random.default_rng(5)
    return generator.normal(size=(len(CHANNELS), size, size, size)).astype(np.float32)


def test_encoding_is_a_round_trip_with_a_stable_digest(contents: tuple[bytes, ...]) -> None:
    """Encoding what was decoded gives the same bytes, so a digest names one member."""
    network, header = decode_member(contents[0])
    assert encode_member(network, header) == contents[0]
    assert header.trained_on == frozenset("AB")


def test_a_patient_is_judged_by_members_that_never_saw_it(small_ensemble: Ensemble) -> None:
    """Held-out selection leaves every member out that was trained on the patient."""
    assert members_unseen(small_ensemble.trained_on, "A") == (1,)
    assert members_unseen(small_ensemble.trained_on, "B") == ()
    assert members_unseen(small_ensemble.trained_on, "new") == (0, 1)


def test_members_are_loaded_by_position(contents: tuple[bytes, ...], tmp_path: Path) -> None:
    """Paths and bytes load alike, and `members` picks by position."""
    path = tmp_path / "member.safetensors"
    path.write_bytes(contents[1])
    chosen = Ensemble.load([contents[0], path], members=[1])
    assert chosen.member_names == ("fold-1",)
    assert chosen.trained_on == (frozenset("BC"),)
    with pytest.raises(ValueError, match="member below 2"):
        Ensemble.load([contents[0], path], members=[2])
    with pytest.raises(ValueError, match="at least one"):
        Ensemble.load(contents, members=[])


@pytest.mark.parametrize("content", [b"", b"\x05", b"no weights at all, only text", b"\0" * 64])
def test_files_that_are_no_member_are_refused(content: bytes) -> None:
    """Anything but a member file is refused as such."""
    with pytest.raises(ValueError, match="member"):
        decode_member(content)


def test_votes_are_deterministic_probabilities(small_ensemble: Ensemble) -> None:
    """Probabilities have one volume a member, lie in [0, 1], and repeat exactly."""
    channels = _channels()
    first = small_ensemble.probabilities(channels)
    assert first.shape == (2, 32, 32, 32)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
    assert np.array_equal(first, small_ensemble.probabilities(channels))


def test_mirrored_votes_mirror_with_the_input(small_ensemble: Ensemble) -> None:
    """Reversing the input on all axes reverses the averaged mirrored votes."""
    channels = _channels()
    votes = small_ensemble.probabilities(channels)
    turned = small_ensemble.probabilities(np.ascontiguousarray(channels[:, ::-1, ::-1, ::-1]))
    assert np.allclose(turned[:, ::-1, ::-1, ::-1], votes, atol=1e-5)


def test_forward_is_the_mean_and_has_gradients(small_ensemble: Ensemble) -> None:
    """The logits are the members' mean and can be derived by the input, for attribution."""
    batch = torch.from_numpy(_channels())[None].requires_grad_(True)
    logits = small_ensemble.forward(batch)
    assert logits.shape == (1, 1, 32, 32, 32)
    logits.sum().backward()
    assert batch.grad is not None
    assert float(batch.grad.abs().sum()) > 0


def test_embedding_has_at_most_64_values(small_ensemble: Ensemble) -> None:
    """The embedding fits the case statistics of the host."""
    embedding = small_ensemble.embedding(_channels())
    assert embedding.shape == (64,)
    assert np.isfinite(embedding).all()


def test_wrong_shapes_are_refused(small_ensemble: Ensemble) -> None:
    """A grid that the network cannot halve, or other channels, are refused."""
    with pytest.raises(ValueError, match="multiples"):
        small_ensemble.probabilities(_channels(20))
    with pytest.raises(ValueError, match="expected"):
        small_ensemble.probabilities(_channels()[:3])
