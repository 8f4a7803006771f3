"""Turn the transforms of a MONAI bundle into steps of our own.

Each transform is either one that we know and do alike (orientation, spacing, crop,
intensity), one that only moves data about and is left out, or it is refused by name: a
transform that is left out silently would give a contour that looks right.

Source: MONAI 1.6, ``monai.transforms`` dictionary transforms.

Read next: `steps.py`, `normalisation.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from audit.errors import ModelImportError
from models.importers import fields
from models.importers.monai_config import Config
from models.importers.normalisation import Normalisation
from models.importers.statement import Statement
from models.importers.steps import Crop, Normalise, Orient, Resample, Step

Arguments = Mapping[str, Any]
_CARRIERS = (
    *("LoadImaged", "EnsureChannelFirstd", "EnsureTyped", "CastToTyped", "ToTensord"),
    *("AsChannelFirstd", "AddChanneld", "ToDeviced", "Identityd", "SqueezeDimd"),
)
"""Transforms that change where and how an image is kept, not what it is."""
_WRITERS = ("SaveImaged", "EnsureTyped", "ToTensord", "DeleteItemsd", "Lambdad", "CopyItemsd")
_IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the postprocessing does: activation, decision, and labels kept as one part."""

    activation: str
    decision: str
    threshold: float
    largest: tuple[int, ...]


def read_preprocessing(config: Config, channels: int, statement: Statement) -> tuple[Step, ...]:
    """Return the steps of ``preprocessing``.

    Where no orientation is stated in the bundle, the statement has to state it: the order
    of the axes that the training files happened to have cannot be known.
    """
    steps: list[Step] = []
    for name, arguments, place in config.components("preprocessing"):
        if name in _CARRIERS or not _concerns_image(config, arguments, place):
            continue
        rule = _STEPS.get(name)
        if rule is None:
            known = ", ".join(sorted(_STEPS))
            raise ModelImportError(f"{config.name}: {place}", f"one of {known}", name[:40])
        keys = {"keys", "allow_missing_keys", "lazy"}
        values = {
            key: config.plain(item, f"{place}::{key}")
            for key, item in arguments.items()
            if key not in keys
        }
        steps.append(rule(values, f"{config.name}: {place}", channels))
    stated = statement.preprocessing.get("orientation")
    if any(isinstance(step, Orient) for step in steps):
        if stated is not None:
            raise ModelImportError(
                "statement: preprocessing.orientation", "nothing, as the bundle has one", stated
            )
    elif stated is None:
        raise ModelImportError(
            f"{config.name}: preprocessing",
            "Orientationd, or an orientation in the statement",
            fields.NOTHING,
        )
    else:
        orientation = fields.text(
            statement.preprocessing, "orientation", "statement: preprocessing"
        )
        steps.insert(0, Orient(orientation))
    return tuple(steps)


def read_postprocessing(config: Config, count: int) -> Decision:
    """Return what ``postprocessing`` decides; activation and inversion come before it."""
    activation, decision, threshold = "none", "", 0.5
    largest: tuple[int, ...] = ()
    for name, arguments, place in config.components("postprocessing"):
        where = f"{config.name}: {place}"
        if name in _WRITERS:
            continue
        if name == "Activationsd":
            activation = _activation(config, arguments, place)
        elif name == "Invertd":
            _check_inversion(config, arguments, place, decided=bool(decision))
        elif name == "AsDiscreted":
            decision, threshold = _discrete(config, arguments, place)
        elif name == "KeepLargestConnectedComponentd" and (decision == "argmax" or count == 1):
            largest = _largest(config, arguments, place, count)
        else:
            known = "Activationsd, Invertd, AsDiscreted, then KeepLargestConnectedComponentd"
            raise ModelImportError(where, known, name[:40])
    if not decision:
        raise ModelImportError(
            f"{config.name}: postprocessing", "AsDiscreted", "no decision on a label"
        )
    return Decision(activation, decision, threshold, largest)


def _concerns_image(config: Config, arguments: Arguments, place: str) -> bool:
    keys = config.resolved(arguments.get("keys", _IMAGE), place)
    names = [config.resolved(key, place) for key in (keys if isinstance(keys, list) else [keys])]
    return _IMAGE in names


def _orientation(values: Arguments, place: str, channels: int) -> Step:
    del channels
    fields.only(values, ("axcodes", "labels"), place)
    return Orient(fields.text(values, "axcodes", place))


def _spacing(values: Arguments, place: str, channels: int) -> Step:
    del channels
    usual = {
        "diagonal": False, "align_corners": False, "scale_extent": False, "recompute_affine": False,
        "padding_mode": "border", "mode": "bilinear", "ensure_same_shape": True,
    }  # fmt: skip
    fields.only(values, ("pixdim", "dtype", *usual), place)
    for key, value in usual.items():
        found = values.get(key, value)
        found = found[0] if isinstance(found, list) and found else found
        if found != value and not (key == "ensure_same_shape"):
            raise ModelImportError(f"{place}::{key}", str(value), fields.shown(found))
    first, second, third = fields.triple(values.get("pixdim"), f"{place}::pixdim")
    return Resample((max(first, 0.0), max(second, 0.0), max(third, 0.0)), "centres")


def _crop(values: Arguments, place: str, channels: int) -> Step:
    del channels
    source = values.get("source_key", _IMAGE)
    usual = {"margin": 0, "k_divisible": 1, "allow_smaller": True, "mode": "constant"}
    fields.only(values, ("source_key", "start_coord_key", "end_coord_key", *usual), place)
    if source != _IMAGE:
        raise ModelImportError(f"{place}::source_key", _IMAGE, fields.shown(source))
    for key, value in usual.items():
        if key != "allow_smaller" and values.get(key, value) != value:
            raise ModelImportError(f"{place}::{key}", str(value), fields.shown(values[key]))
    return Crop("positive")


def _range(values: Arguments, place: str, channels: int) -> Step:
    fields.only(values, ("a_min", "a_max", "b_min", "b_max", "clip", "dtype"), place)
    low, high, to_low, to_high = (
        fields.number(values.get(key), f"{place}::{key}")
        for key in ("a_min", "a_max", "b_min", "b_max")
    )
    clip = fields.flag(values, "clip", place, False)
    rule = Normalisation("range", low=low, high=high, to_low=to_low, to_high=to_high, clip=clip)
    return Normalise((rule,) * channels)


def _zscore(values: Arguments, place: str, channels: int) -> Step:
    fields.only(values, ("nonzero", "channel_wise", "dtype", "subtrahend", "divisor"), place)
    for key in ("subtrahend", "divisor"):
        if values.get(key) is not None:
            raise ModelImportError(f"{place}::{key}", fields.NOTHING, fields.kind_of(values[key]))
    if channels > 1 and not fields.flag(values, "channel_wise", place, False):
        raise ModelImportError(f"{place}::channel_wise", "true, with several channels", "false")
    nonzero = fields.flag(values, "nonzero", place, False)
    return Normalise((Normalisation("zscore-nonzero" if nonzero else "zscore"),) * channels)


def _unit(values: Arguments, place: str, channels: int) -> Step:
    fields.only(values, ("minv", "maxv", "channel_wise", "factor", "dtype"), place)
    if values.get("factor") is not None:
        raise ModelImportError(f"{place}::factor", fields.NOTHING, fields.shown(values["factor"]))
    if channels > 1 and not fields.flag(values, "channel_wise", place, False):
        raise ModelImportError(f"{place}::channel_wise", "true, with several channels", "false")
    low = fields.number(values.get("minv", 0.0), f"{place}::minv")
    high = fields.number(values.get("maxv", 1.0), f"{place}::maxv")
    return Normalise((Normalisation("unit", to_low=low, to_high=high),) * channels)


_STEPS: Mapping[str, Callable[[Arguments, str, int], Step]] = {
    "Orientationd": _orientation,
    "Spacingd": _spacing,
    "CropForegroundd": _crop,
    "ScaleIntensityRanged": _range,
    "NormalizeIntensityd": _zscore,
    "ScaleIntensityd": _unit,
}
"""Transform -> what makes a step of its arguments."""


def _activation(config: Config, arguments: Arguments, place: str) -> str:
    where = f"{config.name}: {place}"
    fields.only(arguments, ("keys", "softmax", "sigmoid", "allow_missing_keys"), where)
    chosen = [
        word for word in ("softmax", "sigmoid") if config.plain(arguments.get(word), place) is True
    ]
    if len(chosen) != 1:
        raise ModelImportError(where, "softmax or sigmoid", ", ".join(chosen) or "neither")
    return chosen[0]


def _check_inversion(config: Config, arguments: Arguments, place: str, *, decided: bool) -> None:
    """Refuse an inversion of labels, or with the nearest neighbour: it rounds to voxels."""
    where = f"{config.name}: {place}"
    if decided:
        raise ModelImportError(where, "Invertd before AsDiscreted", "Invertd after it")
    if config.plain(arguments.get("nearest_interp", True), place) is not False:
        raise ModelImportError(f"{where}::nearest_interp", "false", "true")


def _discrete(config: Config, arguments: Arguments, place: str) -> tuple[str, float]:
    where = f"{config.name}: {place}"
    fields.only(
        arguments, ("keys", "argmax", "threshold", "allow_missing_keys", "to_onehot"), where
    )
    argmax = config.plain(arguments.get("argmax"), place)
    argmax = argmax[0] if isinstance(argmax, list) and argmax else argmax
    threshold = config.plain(arguments.get("threshold"), place)
    if (argmax is True) == (threshold is not None):
        found = "both" if argmax is True else "neither"
        raise ModelImportError(where, "argmax, or a threshold", found)
    if argmax is True:
        return "argmax", 0.5
    return "threshold", fields.number(threshold, f"{where}::threshold", 0.0, 1.0)


def _largest(config: Config, arguments: Arguments, place: str, count: int) -> tuple[int, ...]:
    where = f"{config.name}: {place}"
    fields.only(arguments, ("keys", "applied_labels", "is_onehot", "independent"), where)
    if config.plain(arguments.get("independent", True), place) is not True:
        raise ModelImportError(f"{where}::independent", "true", "false")
    labels = config.plain(arguments.get("applied_labels"), place)
    if labels is None:
        return tuple(range(1, max(count, 2)))
    listed = [labels] if isinstance(labels, int) else labels
    return fields.integers(listed, f"{where}::applied_labels", 1)
