"""Preprocessing as a list of steps that can be undone.

Each step takes an `Image` and gives the next one, with the function that brings a map of
the result back to the grid before it.  The order of the list is the model's own: nnU-Net
normalises before it resamples, most MONAI bundles after.

Read next: `resampling.py`, `normalisation.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from audit.errors import ModelImportError
from models.importers import fields, normalisation, resampling
from models.importers.fields import Triple
from models.importers.normalisation import Normalisation

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
Undo = Callable[[NDArray[Any]], NDArray[Any]]
"""Takes a map on the grid after a step and returns it on the grid before; 0 outside a crop."""

_PATIENT = {"R": (-1, 0, 0), "L": (1, 0, 0), "A": (0, -1, 0), "P": (0, 1, 0), "I": (0, 0, -1)}
DIRECTIONS: Mapping[str, tuple[int, int, int]] = {**_PATIENT, "S": (0, 0, 1)}
"""Letter -> LPS direction in which the index grows (PS3.3 C.7.6.2.1.1)."""


@dataclass(frozen=True, slots=True)
class Image:
    """The channels of a case on one grid.

    Parameters
    ----------
    array : (channels, a, b, c).
    spacing_mm, axes : along the three array axes; rows of ``axes`` are LPS unit vectors.
    inside : (a, b, c), where a crop found the image to be; None before one.
    """

    array: FloatArray
    spacing_mm: Triple
    axes: NDArray[np.float64]
    inside: BoolArray | None = None


class Step(Protocol):
    """One step of a model's preprocessing."""

    kind: ClassVar[str]

    def check(self, channel_count: int) -> None:
        """Raise ModelImportError where the step does not fit so many channels."""
        ...

    def apply(self, image: Image) -> tuple[Image, Undo]:
        """Return the next image, and the function that undoes the step for one map."""
        ...


class _AnyChannels:
    """A step that does not mind how many channels there are."""

    __slots__ = ()

    def check(self, channel_count: int) -> None:
        """Return always."""


@dataclass(frozen=True, slots=True)
class Orient(_AnyChannels):
    """Reorder and reverse array axes until they grow in these directions: ``RAS``, ``SPL``.

    Nothing is interpolated; an oblique grid stays as oblique as it is.
    """

    kind: ClassVar[str] = "orient"
    directions: str

    def __post_init__(self) -> None:
        good = len(self.directions) == 3 and set(self.directions) <= set(DIRECTIONS)
        if not good or abs(np.linalg.det([DIRECTIONS[d] for d in self.directions])) < 0.5:
            raise ModelImportError(
                "preprocessing: orientation", "three letters like RAS or SPL", self.directions[:9]
            )

    def apply(self, image: Image) -> tuple[Image, Undo]:
        """Return the image along the wanted directions."""
        wanted = np.array([DIRECTIONS[letter] for letter in self.directions], dtype=np.float64)
        order, signs = _assignment(wanted @ image.axes.T)
        turned = replace(
            image,
            array=_turned(image.array, order, signs, first=1),
            spacing_mm=_picked(image.spacing_mm, order),
            axes=image.axes[list(order)] * np.asarray(signs)[:, None],
            inside=None if image.inside is None else _turned(image.inside, order, signs, first=0),
        )
        back = tuple(int(place) for place in np.argsort(order))
        flips = tuple(signs[place] for place in back)

        return turned, lambda values: _turned(values, back, flips, first=0)


@dataclass(frozen=True, slots=True)
class Transpose(_AnyChannels):
    """Reorder the array axes (nnU-Net: ``transpose_forward``)."""

    kind: ClassVar[str] = "transpose"
    order: tuple[int, int, int]

    def __post_init__(self) -> None:
        if sorted(self.order) != [0, 1, 2]:
            raise ModelImportError("preprocessing: transpose", "the axes 0, 1, 2", self.order)

    def apply(self, image: Image) -> tuple[Image, Undo]:
        """Return the image with its axes in another order."""
        turned = replace(
            image,
            array=image.array.transpose((0, *(axis + 1 for axis in self.order))),
            spacing_mm=_picked(image.spacing_mm, self.order),
            axes=image.axes[list(self.order)],
            inside=None if image.inside is None else image.inside.transpose(self.order),
        )
        back = tuple(int(place) for place in np.argsort(self.order))
        return turned, lambda values: values.transpose(back)


@dataclass(frozen=True, slots=True)
class Crop(_AnyChannels):
    """Cut to the smallest box that holds the image.

    ``nonzero``: every voxel that is not 0 in some channel, holes filled (nnU-Net v2,
    crop_to_nonzero).  ``positive``: every voxel above 0 (MONAI, CropForeground).
    """

    kind: ClassVar[str] = "crop"
    rule: str

    def __post_init__(self) -> None:
        if self.rule not in ("nonzero", "positive"):
            raise ModelImportError("preprocessing: crop", "nonzero or positive", self.rule[:20])

    def apply(self, image: Image) -> tuple[Image, Undo]:
        """Return the part of the image, which is all of it where nothing is inside."""
        shape = image.array.shape[1:]
        found = image.array != 0 if self.rule == "nonzero" else image.array > 0
        inside: BoolArray = np.asarray(found.any(axis=0))
        if self.rule == "nonzero":
            inside = ndimage.binary_fill_holes(inside)
        box = ndimage.find_objects(inside.astype(np.uint8))
        place = box[0] if box else tuple(slice(0, size) for size in shape)
        cut = replace(image, array=image.array[(slice(None), *place)], inside=inside[place])

        def undo(values: NDArray[Any]) -> NDArray[Any]:
            whole = np.zeros(shape, dtype=values.dtype)
            whole[place] = values
            return whole

        return cut, undo


@dataclass(frozen=True, slots=True)
class Normalise:
    """Bring each channel's intensities into the network's range."""

    kind: ClassVar[str] = "normalise"
    channels: tuple[Normalisation, ...]

    def check(self, channel_count: int) -> None:
        """Raise ModelImportError unless there is one rule for each channel."""
        if len(self.channels) != channel_count:
            raise ModelImportError(
                "preprocessing: normalise", f"{channel_count} channels", len(self.channels)
            )

    def apply(self, image: Image) -> tuple[Image, Undo]:
        """Return the image with normalised channels; a map needs no undoing."""
        rules = zip(self.channels, image.array, strict=True)
        arrays = [rule.apply(channel, image.inside) for rule, channel in rules]
        return replace(image, array=np.stack(arrays)), lambda values: values


@dataclass(frozen=True, slots=True)
class Resample(_AnyChannels):
    """Bring the image to a spacing; a component of 0 keeps its own.

    Parameters
    ----------
    method : ``nnunet`` (voxels as boxes, splines, anisotropic axis apart) or ``centres``
        (MONAI Spacing: voxel centres, linear, first voxel fixed).
    order, order_z : splines of the image, and along an anisotropic axis (nnunet).
    back_order, back_order_z : likewise for maps that are brought back.
    separate : whether an axis is treated apart; None decides by the spacing.
    """

    kind: ClassVar[str] = "resample"
    spacing_mm: Triple
    method: str
    order: int = 1
    order_z: int = 0
    back_order: int = 1
    back_order_z: int = 0
    separate: bool | None = None

    def __post_init__(self) -> None:
        if min(self.spacing_mm) < 0 or len(self.spacing_mm) != 3:
            raise ModelImportError("preprocessing: spacing_mm", "three sizes", self.spacing_mm)
        if self.method not in ("nnunet", "centres"):
            raise ModelImportError("preprocessing: method", "nnunet or centres", self.method[:20])

    def apply(self, image: Image) -> tuple[Image, Undo]:
        """Return the image at the spacing of the network."""
        old = image.spacing_mm
        new = _picked(tuple(w or o for w, o in zip(self.spacing_mm, old, strict=True)), (0, 1, 2))
        shape = image.array.shape[1:]
        if self.method == "centres":
            target = resampling.centres_shape(shape, old, new)
            arrays = [
                resampling.between_centres(channel, target, old, new) for channel in image.array
            ]

            def undo(values: NDArray[Any]) -> NDArray[Any]:
                return resampling.between_centres(values, shape, new, old)

            return replace(image, array=np.stack(arrays), spacing_mm=new, inside=None), undo
        target = resampling.box_shape(shape, old, new)
        axis = resampling.separate_axis(old, new, self.separate)
        rule = resampling.Splines(self.order, self.order_z, axis)
        arrays = [resampling.between_boxes(channel, target, rule) for channel in image.array]
        back = resampling.Splines(
            self.back_order,
            self.back_order_z,
            resampling.separate_axis(new, old, self.separate),
        )

        def undo_boxes(values: NDArray[Any]) -> NDArray[Any]:
            return resampling.between_boxes(values, shape, back)

        return replace(image, array=np.stack(arrays), spacing_mm=new, inside=None), undo_boxes


_KINDS: Mapping[str, type[Any]] = {
    step.kind: step for step in (Orient, Transpose, Crop, Normalise, Resample)
}


def encode_step(step: Step) -> dict[str, Any]:
    """Return a step as JSON values; inverse of `decode_step`."""
    if isinstance(step, Normalise):
        return {"kind": step.kind, "channels": [asdict(rule) for rule in step.channels]}
    return {"kind": step.kind, **asdict(step)}  # type: ignore[call-overload]


def decode_step(document: Any, place: str) -> Step:
    """Return the step that a description states."""
    values = dict(fields.mapping(document, place))
    kind = fields.choice(values, "kind", place, tuple(_KINDS))
    del values["kind"]
    if kind == Normalise.kind:
        return Normalise(tuple(normalisation.decode(rule, place) for rule in values["channels"]))
    for key in ("order", "spacing_mm"):
        if isinstance(values.get(key), list):
            values[key] = tuple(values[key])
    step: Step = _KINDS[kind](**values)
    return step


def _assignment(cosines: NDArray[np.float64]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return for each wanted direction the array axis nearest to it, and its sign."""
    from scipy.optimize import linear_sum_assignment

    _, axes = linear_sum_assignment(-np.abs(cosines))
    order = tuple(int(axis) for axis in axes)
    return order, tuple(-1 if cosines[i, axis] < 0 else 1 for i, axis in enumerate(order))


def _turned(
    array: NDArray[Any], order: tuple[int, ...], signs: tuple[int, ...], first: int
) -> NDArray[Any]:
    """Return spatial axes in another order, those with a negative sign reversed."""
    moved = array.transpose((*range(first), *(axis + first for axis in order)))
    flips = tuple(slice(None, None, sign) for sign in signs)
    return moved[(*(slice(None),) * first, *flips)]


def _picked(values: tuple[float, ...], order: tuple[int, ...]) -> Triple:
    first, second, third = (float(values[place]) for place in order)
    return first, second, third
