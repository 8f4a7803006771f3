"""What is known of a model from elsewhere, in values that its release carries and obeys.

`Description` is the whole: input channels, preprocessing steps in their order, network,
inference, outputs.  It stands in the release's manifest under ``imported``; `encode` and
`decode` are inverses, and a description that exists is complete and free of contradictions.

Read next: `steps.py` (preprocessing), `segment.py` (the path of one case).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from audit.errors import ModelImportError
from models.importers import fields
from models.importers.steps import Step, decode_step, encode_step

SCHEMA = "osteon.imported/1"
FORMATS = ("monai-bundle", "nnunet-v2", "onnx", "torchscript")
MODALITIES = {"CT": ("[hnsf'U]", -1000.0), "PT": ("g/ml", 0.0), "MR": ("1", 0.0)}
"""Modality -> unit of its values here (UCUM), and the value of air outside its image."""

NETWORKS = ("plain-unet", "residual-unet", "exported", "torchscript", "onnx")
PLACEMENTS = ("even", "interval")
BLENDS = ("constant", "gaussian-nnunet", "gaussian-monai")
ACTIVATIONS = ("softmax", "sigmoid", "none")
DECISIONS = ("argmax", "threshold")
EXPLANATIONS = ("integrated-gradients", "occlusion", "none")
TYPES = ("GTV", "CTV", "PTV", "ORGAN", "AVOIDANCE", "EXTERNAL", "CONTROL")
"""RT ROI Interpreted Types (PS3.3 C.8.8.8) that a model may give."""

_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_~^+-]{0,15}")
_ROLE = re.compile(r"[a-z][a-z0-9_]{0,31}")
Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Concept:
    """A coded concept (PS3.3 Section 8)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Channel:
    """One input channel; ``outside`` is put where its image does not reach."""

    role: str
    modality: str
    unit: str
    outside: float

    def __post_init__(self) -> None:
        if not _ROLE.fullmatch(self.role):
            raise ModelImportError("inputs: role", "a word like ct or mr_t1", self.role[:40])
        known = MODALITIES.get(self.modality)
        if known is None:
            words = ", ".join(MODALITIES)
            raise ModelImportError(f"inputs: {self.role}: modality", words, self.modality[:40])
        if self.unit != known[0]:
            raise ModelImportError(f"inputs: {self.role}: unit", known[0], self.unit[:40])


@dataclass(frozen=True, slots=True)
class Label:
    """One structure that the model outlines.

    Parameters
    ----------
    name : TG-263 name, at most 16 characters.
    values : values of the label map that belong to it.
    """

    name: str
    values: tuple[int, ...]
    code: Concept
    category: Concept
    interpreted_type: str

    def __post_init__(self) -> None:
        place = "outputs: labels"
        if not _LABEL.fullmatch(self.name):
            raise ModelImportError(place, "a TG-263 name of 1 to 16 characters", self.name[:40])
        if not self.values or min(self.values) < 1:
            raise ModelImportError(f"{place}: {self.name}", "values of 1 or more", self.values)
        if self.interpreted_type not in TYPES:
            found = self.interpreted_type[:40]
            raise ModelImportError(f"{place}: {self.name}: type", ", ".join(TYPES), found)


@dataclass(frozen=True, slots=True)
class Network:
    """The network: its kind, its weight files (several are an ensemble), its arguments."""

    kind: str
    files: tuple[str, ...]
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Inference:
    """How windows are laid over the prepared image and put together again.

    Parameters
    ----------
    patch : window, in the array order of the prepared image.
    placement : ``even`` (nnU-Net: equal steps) or ``interval`` (MONAI: fixed steps, the last
        window pushed back to the edge).
    overlap : share of a window that the next one covers, in [0, 1).
    blend : weight of a voxel by its place in the window.
    mirror_axes : spatial axes 0 to 2; the mean over all combinations of mirrored ones.
    batch : windows at once.
    planar : the network is two-dimensional and sees slices along axis 0.
    """

    patch: Shape
    placement: str
    overlap: float
    blend: str
    mirror_axes: tuple[int, ...] = ()
    batch: int = 2
    planar: bool = False

    def __post_init__(self) -> None:
        if len(self.patch) != 3 or min(self.patch) < 1:
            raise ModelImportError("inference: patch", "three sizes of 1 or more", self.patch)
        if not 0.0 <= self.overlap < 1.0:
            raise ModelImportError("inference: overlap", "from 0 to below 1", self.overlap)
        if len(set(self.mirror_axes)) != len(self.mirror_axes) or not set(self.mirror_axes) <= set(
            range(3)
        ):
            found = list(self.mirror_axes)
            raise ModelImportError("inference: mirror_axes", "different axes of 0, 1, 2", found)


@dataclass(frozen=True, slots=True)
class Outputs:
    """How the network's channels become structures.

    Parameters
    ----------
    channel_count : channels that the network gives.
    activation : what turns them into probabilities; ``none`` where they are some already.
    activated : ``before`` or ``after`` the image is brought back to the source's spacing.
    decision : ``argmax`` over all channels (0 is background), or ``threshold`` on each one
        alone.
    class_order : value that channel i writes where it is above the threshold, later ones
        over earlier ones; empty where channels may overlap, their values then count from 1.
    largest_component : labels of which only the largest connected part is kept.
    """

    channel_count: int
    activation: str
    activated: str
    decision: str
    threshold: float
    class_order: tuple[int, ...]
    labels: tuple[Label, ...]
    largest_component: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [label.name for label in self.labels]
        if not names or len(set(names)) != len(names):
            raise ModelImportError("outputs: labels", "different names, at least one", names)
        first_free = self.channel_count + (self.decision == "threshold")
        possible = self.class_order or range(1, first_free)
        for label in self.labels:
            if not set(label.values) <= set(possible):
                raise ModelImportError(
                    f"outputs: labels: {label.name}: value",
                    f"one of {sorted(possible)} ({self.channel_count} channels)",
                    list(label.values),
                )
        if self.class_order and len(self.class_order) != self.channel_count:
            raise ModelImportError(
                "outputs: class_order", f"{self.channel_count} values", len(self.class_order)
            )
        if self.decision == "argmax" and self.activation == "sigmoid":
            raise ModelImportError("outputs: decision", "threshold beside sigmoid", "argmax")
        if not set(self.largest_component) <= set(names):
            found = list(self.largest_component)
            raise ModelImportError("outputs: largest_component", f"names of {names}", found)

    def channel_of(self, label: Label) -> int:
        """Return the network's channel that speaks for a label."""
        if self.class_order:
            return next(i for i, value in enumerate(self.class_order) if value in label.values)
        return label.values[0] - (self.decision == "threshold")


@dataclass(frozen=True, slots=True)
class Description:
    """The whole of what a release of an imported model obeys.

    Parameters
    ----------
    format : one of `FORMATS`.
    explanation : one of `EXPLANATIONS`.
    """

    format: str
    channels: tuple[Channel, ...]
    preprocessing: tuple[Step, ...]
    network: Network
    inference: Inference
    outputs: Outputs
    explanation: str

    def __post_init__(self) -> None:
        roles = [channel.role for channel in self.channels]
        if not roles or len(set(roles)) != len(roles):
            raise ModelImportError("inputs", "different roles, at least one", roles)
        for step in self.preprocessing:
            step.check(len(self.channels))
        if not self.network.files:
            raise ModelImportError("network: files", "at least one", fields.NOTHING)


def encode(description: Description) -> dict[str, Any]:
    """Return the description as JSON values; inverse of `decode`."""
    return {
        "schema": SCHEMA,
        **asdict(description),
        "preprocessing": [encode_step(step) for step in description.preprocessing],
    }


def decode(document: Mapping[str, Any]) -> Description:
    """Return the description that a release's manifest carries.

    Raises
    ------
    ModelImportError : a field is missing, of another kind, or contradicts another one.
    """
    place = "imported:"
    fields.choice(document, "schema", place, (SCHEMA,))
    steps = fields.listed(fields.present(document, "preprocessing", place, "a list"), place)
    try:
        return Description(
            format=fields.choice(document, "format", place, FORMATS),
            channels=tuple(Channel(**item) for item in document["channels"]),
            preprocessing=tuple(decode_step(step, f"{place} preprocessing") for step in steps),
            network=_network(fields.section(document, "network", place)),
            inference=_inference(fields.section(document, "inference", place)),
            outputs=_outputs(fields.section(document, "outputs", place)),
            explanation=fields.choice(document, "explanation", place, EXPLANATIONS),
        )
    except (KeyError, TypeError) as error:
        raise ModelImportError(place, "a description of this suite", "a fault") from error


def _network(item: Mapping[str, Any]) -> Network:
    kind = fields.choice(item, "kind", "imported: network", NETWORKS)
    arguments = fields.section(item, "arguments", "imported: network")
    return Network(kind, tuple(str(name) for name in item["files"]), arguments)


def _inference(item: Mapping[str, Any]) -> Inference:
    place = "imported: inference"
    fields.choice(item, "placement", place, PLACEMENTS)
    fields.choice(item, "blend", place, BLENDS)
    first, second, third = fields.integers(item["patch"], f"{place}: patch", 1)
    axes = fields.integers(item.get("mirror_axes", ()), f"{place}: mirror_axes")
    return Inference(**{**item, "patch": (first, second, third), "mirror_axes": axes})


def _outputs(item: Mapping[str, Any]) -> Outputs:
    place = "imported: outputs"
    fields.choice(item, "activation", place, ACTIVATIONS)
    fields.choice(item, "activated", place, ("before", "after"))
    fields.choice(item, "decision", place, DECISIONS)
    values = {
        "labels": tuple(_label(label) for label in item["labels"]),
        "class_order": fields.integers(item["class_order"], f"{place}: class_order"),
        "largest_component": tuple(item["largest_component"]),
    }
    return Outputs(**{**item, **values})


def _label(item: Mapping[str, Any]) -> Label:
    values = fields.integers(item["values"], "imported: outputs: labels: values")
    concepts = {key: Concept(**item[key]) for key in ("code", "category")}
    return Label(**{**item, "values": values, **concepts})
