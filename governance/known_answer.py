"""The geometry known-answer test: does this installation put a lesion where it is?

A phantom whose lesion lies at a known place is written, read, outlined and read back.  The
signed distance of the centroid to the known position has to be at most a quarter of a voxel
on every axis (which a half-voxel shift misses), the mask has to come back voxel by voxel, and
the image as it was written: the anatomy is asymmetric, so that a mirror cannot pass.

Source: SEAMS, Validation (signed mean centroid error at most 0.25 voxel); issue 3,
Certificate gate (a passed geometry known-answer test on this installation).

Read next: `gates.py`; `adapters/known_answer.py` does the test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from governance.gates import Objection, Passage
from governance.ports import GovernedStore

LIMIT_VOXELS = 0.25
FAILED = "GEOMETRY_FAILED"
EACH_VOXELS = 3.0
"""No single lesion may lie farther off: three times what the released contours show at most
(1.03 voxels in 16), and far below the least that a mirror moves one (10 voxels)."""
PLUGIN_FAILED = "PLUGIN_GEOMETRY_FAILED"
_PLUGIN_ADVICE = "Do not use the release: it turns, mirrors or shifts what it outlines."
_IN_USE = ("canary", "active")
_BACK = ("standby", "suspended")
_ADVICE = (
    "Do not treat by what this installation writes. `osteon doctor` shows the errors; install "
    "the pinned libraries again."
)


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """What the test found.

    Parameters
    ----------
    shift_voxels : signed distance of the centroid to the known position, (frame, row, column).
    image_differs, mask_differs : voxels that came back otherwise.
    """

    shift_voxels: tuple[float, float, float]
    image_differs: int
    mask_differs: int

    @property
    def passed(self) -> bool:
        """Return whether everything came back where it was."""
        near = all(abs(value) <= LIMIT_VOXELS for value in self.shift_voxels)
        return near and self.image_differs == 0 and self.mask_differs == 0

    @property
    def words(self) -> str:
        """Return what was found in words."""
        shift = ", ".join(f"{value:+.3f}" for value in self.shift_voxels)
        return (
            f"centroid off by {shift} voxels (limit {LIMIT_VOXELS:g}), "
            f"{self.image_differs} voxels of the image and {self.mask_differs} of the mask differ"
        )


@dataclass(frozen=True, slots=True)
class PlacedAnswer:
    """Where a plugin put the lesion of one phantom; None where it found none.

    Parameters
    ----------
    image_voxels : signed distance to the known place along (frames, rows, columns).
    patient_voxels : the same along the patient's (x, y, z), in voxels of the image.
    """

    position: str
    image_voxels: tuple[float, float, float] | None
    patient_voxels: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True)
class PluginAnswer:
    """Where a release put the lesions of all phantoms that it was shown."""

    placed: tuple[PlacedAnswer, ...]

    @property
    def shifts(self) -> tuple[float, ...]:
        """Return the mean signed distance along frames, rows, columns, then x, y, z."""
        images = [item.image_voxels for item in self.placed if item.image_voxels]
        patients = [item.patient_voxels for item in self.placed if item.patient_voxels]
        return (*_means(images), *_means(patients))

    @property
    def farthest(self) -> float:
        """Return the largest distance of any one lesion along any axis."""
        ends = [
            abs(value)
            for item in self.placed
            for values in (item.image_voxels, item.patient_voxels)
            for value in values or ()
        ]
        return max(ends, default=0.0)

    @property
    def missed(self) -> int:
        """Return in how many phantoms no lesion was found."""
        return sum(item.image_voxels is None for item in self.placed)

    @property
    def passed(self) -> bool:
        """Return whether every lesion was found, near its place, and without a common shift."""
        near = all(abs(value) <= LIMIT_VOXELS for value in self.shifts)
        return bool(self.placed) and not self.missed and near and self.farthest <= EACH_VOXELS

    @property
    def words(self) -> str:
        """Return what was found in words."""
        shift = ", ".join(f"{value:+.2f}" for value in self.shifts)
        return (
            f"mean shift along frames, rows, columns, x, y, z {shift} voxels (limit "
            f"{LIMIT_VOXELS:g}), farthest lesion {self.farthest:.1f} voxels (limit "
            f"{EACH_VOXELS:g}), {self.missed} of {len(self.placed)} not found"
        )


def _means(rows: Sequence[tuple[float, float, float]]) -> tuple[float, ...]:
    return tuple(sum(row[axis] for row in rows) / len(rows) if rows else 0.0 for axis in range(3))


@dataclass(frozen=True, slots=True)
class PluginGeometryGate:
    """Objects to clinical use of a release that puts lesions elsewhere; fulfils `Gate`.

    ``test`` returns None for a release that outlines no lesion of the phantom.
    """

    test: Callable[[str], PluginAnswer | None]

    def __call__(self, passage: Passage, documents: GovernedStore) -> tuple[Objection, ...]:
        """Return what the test says against a passage."""
        del documents
        if passage.mode != "clinical" or passage.after not in _IN_USE or passage.before in _BACK:
            return ()
        found = self.test(passage.release_digest)
        if found is None or found.passed:
            return ()
        return (Objection(PLUGIN_FAILED, f"the release misplaces: {found.words}", _PLUGIN_ADVICE),)


@dataclass(frozen=True, slots=True)
class GeometryGate:
    """Objects to clinical use on an installation that fails the test; fulfils `Gate`.

    The way back to a release that was in use stays open: what runs now is no safer.
    """

    test: Callable[[], KnownAnswer]

    def __call__(self, passage: Passage, documents: GovernedStore) -> tuple[Objection, ...]:
        """Return what the test says against a passage."""
        del documents
        if passage.mode != "clinical" or passage.after not in _IN_USE or passage.before in _BACK:
            return ()
        found = self.test()
        if found.passed:
            return ()
        return (Objection(FAILED, f"the geometry test failed: {found.words}", _ADVICE),)
