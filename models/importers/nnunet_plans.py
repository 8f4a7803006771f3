"""What plans.json of nnU-Net v2 says about one configuration.

Plans written before nnU-Net 2.4 state the network by a few numbers (``UNet_class_name``);
newer ones by the arguments of its class (``architecture``).  Both are read.  What is not
known here (another preprocessor, another way of resampling, a cascade) is refused by name:
a guess would give a contour that looks right.

Read next: `networks/unet.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.errors import ModelImportError
from models.importers import fields
from models.importers.description import Shape
from models.importers.networks.unet import Plan, decode_plan
from models.importers.normalisation import Normalisation
from models.importers.steps import Crop, Normalise, Orient, Resample, Step, Transpose

PLACE = "plans.json:"
NETWORKS = {"PlainConvUNet": False, "ResidualEncoderUNet": True}
READERS = {
    "SimpleITKIO": "SPL",
    "NibabelIO": "SPL",
    "NibabelIOWithReorient": "SAR",
}
"""Image reader -> directions in which the array axes grow.  The first two keep the file's own
axes, which for an axial series written as NIfTI grow to S, P, L; the third turns to RAS."""
RESAMPLING = "resample_data_or_seg_to_shape"
_SCHEMES = {
    "ZScoreNormalization": "zscore",
    "NoNormalization": "none",
    "RescaleTo01Normalization": "unit",
    "CTNormalization": "clip-zscore",
}
_NORMS = {"InstanceNorm": "instance", "BatchNorm": "batch"}
_MOST_PARENTS = 20


@dataclass(frozen=True, slots=True)
class Configuration:
    """One configuration of the plans, with what it inherits.

    Parameters
    ----------
    values : the configuration itself.
    plans : the plans around it.
    residual : residual encoder, else plain.
    """

    values: Mapping[str, Any]
    plans: Mapping[str, Any]
    place: str
    residual: bool

    @property
    def planar(self) -> bool:
        """Tell whether the network is two-dimensional."""
        return len(fields.listed(self.values.get("patch_size"), f"{self.place}.patch_size")) == 2

    @property
    def patch(self) -> Shape:
        """Return the window, one slice thick for a two-dimensional network."""
        sizes = fields.integers(self.values.get("patch_size"), f"{self.place}.patch_size", 1)
        fields.integer(len(sizes), f"{self.place}.patch_size: axes", 2, 3)
        first, second, third = (1, *sizes) if len(sizes) == 2 else sizes
        return first, second, third

    @property
    def normalisations(self) -> tuple[str, ...]:
        """Return the normalisation schemes by channel."""
        place = f"{self.place}.normalization_schemes"
        names = fields.listed(self.values.get("normalization_schemes"), place)
        for name in names:
            fields.choice({"scheme": name}, "scheme", place, tuple(_SCHEMES))
        return tuple(str(name) for name in names)

    def steps(self) -> tuple[Step, ...]:
        """Return the preprocessing of nnU-Net's DefaultPreprocessor, in its order."""
        reader = fields.choice(self.plans, "image_reader_writer", PLACE, tuple(READERS))
        forward = fields.integers(self.plans.get("transpose_forward"), f"{PLACE} transpose_forward")
        if len(forward) != 3:
            raise ModelImportError(f"{PLACE} transpose_forward", "three axes", len(forward))
        return (
            Orient(READERS[reader]),
            Transpose((forward[0], forward[1], forward[2])),
            Crop("nonzero"),
            Normalise(tuple(self._normalisation(i) for i in range(len(self.normalisations)))),
            self._resample(),
        )

    def plan(self, inputs: int, outputs: int) -> Plan:
        """Return the numbers of the network."""
        values = self._architecture() if "architecture" in self.values else self._old_numbers()
        return decode_plan({**values, "inputs": inputs, "outputs": outputs}, f"{self.place}:")

    def _normalisation(self, index: int) -> Normalisation:
        scheme = self.normalisations[index]
        masks = fields.listed(
            self.values.get("use_mask_for_norm"), f"{self.place}.use_mask_for_norm"
        )
        if scheme == "ZScoreNormalization":
            masked = index < len(masks) and masks[index] is True
            return Normalisation("zscore-inside" if masked else "zscore")
        if scheme != "CTNormalization":
            return Normalisation(_SCHEMES[scheme])
        key = "foreground_intensity_properties_per_channel"
        old = "foreground_intensity_properties_by_modality"
        properties = fields.section(self.plans, key if key in self.plans else old, PLACE)
        place = f"{PLACE} {key}"
        found = fields.section(properties, str(index), place)
        names = ("percentile_00_5", "percentile_99_5", "mean", "std")
        low, high, mean, deviation = (
            fields.number(found.get(name), f"{place}.{index}.{name}") for name in names
        )
        return Normalisation("clip-zscore", low, high, mean, deviation)

    def _resample(self) -> Resample:
        place = f"{self.place}.spacing"
        spacing = fields.listed(self.values.get("spacing"), place)
        sizes = fields.numbers([0.0, *spacing] if len(spacing) == 2 else spacing, place, 3, 0.0)
        there = self._resampling("data")
        back = self._resampling("probabilities")
        if there[2] != back[2]:
            raise ModelImportError(
                f"{self.place}.resampling_fn_probabilities_kwargs.force_separate_z",
                f"{there[2]} as for the data",
                back[2],
            )
        first, second, third = sizes
        return Resample((first, second, third), "nnunet", *there[:2], *back[:2], there[2])

    def _resampling(self, what: str) -> tuple[int, int, bool | None]:
        """Return orders and separation of one of nnU-Net's resampling functions."""
        key = f"resampling_fn_{what}"
        fields.choice(self.values, key, self.place, (RESAMPLING,))
        arguments = fields.section(self.values, f"{key}_kwargs", self.place)
        place = f"{self.place}.{key}_kwargs"
        fields.only(arguments, ("is_seg", "order", "order_z", "force_separate_z"), place)
        separate = arguments.get("force_separate_z")
        if separate is not None:
            separate = fields.flag(arguments, "force_separate_z", place, False)
        return (
            fields.integer(arguments.get("order", 3), f"{place}.order", 0, 5),
            fields.integer(arguments.get("order_z", 0), f"{place}.order_z", 0, 5),
            separate,
        )

    def _architecture(self) -> dict[str, Any]:
        """Return the numbers of a network that is stated by its class and arguments."""
        place = f"{self.place}.architecture"
        arguments = fields.section(
            fields.section(self.values, "architecture", self.place), "arch_kwargs", place
        )
        norm = arguments.get("norm_op_kwargs") or {}
        activation = arguments.get("nonlin_kwargs") or {}
        key = "n_blocks_per_stage" if self.residual else "n_conv_per_stage"
        return {
            "dimensions": _dimensions(arguments, place),
            "features": arguments.get("features_per_stage"),
            "kernels": arguments.get("kernel_sizes"),
            "strides": arguments.get("strides"),
            "encoder": arguments.get(key),
            "decoder": arguments.get("n_conv_per_stage_decoder"),
            "bias": bool(arguments.get("conv_bias", False)),
            "norm": _word(arguments.get("norm_op"), _NORMS, f"{place}.norm_op"),
            "norm_eps": norm.get("eps", 1e-5),
            "norm_affine": norm.get("affine", False),
            "activation": _word(
                arguments.get("nonlin"),
                {"LeakyReLU": "leaky-relu", "ReLU": "relu"},
                f"{place}.nonlin",
            ),
            "slope": activation.get("negative_slope", 0.01),
            "activation_first": bool(arguments.get("nonlin_first", False)),
            "stem": arguments.get("stem_channels"),
        }

    def _old_numbers(self) -> dict[str, Any]:
        """Return the numbers of a network in plans from before nnU-Net 2.4."""
        values = self.values
        counts = fields.integers(
            values.get("n_conv_per_stage_encoder"), f"{self.place}.n_conv_per_stage_encoder", 1
        )
        base = fields.integer(
            values.get("UNet_base_num_features"), f"{self.place}.UNet_base_num_features", 1
        )
        most = fields.integer(
            values.get("unet_max_num_features"), f"{self.place}.unet_max_num_features", 1
        )
        return {
            "dimensions": 2 if self.planar else 3,
            "features": [min(base * 2**stage, most) for stage in range(len(counts))],
            "kernels": values.get("conv_kernel_sizes"),
            "strides": values.get("pool_op_kernel_sizes"),
            "encoder": list(counts),
            "decoder": values.get("n_conv_per_stage_decoder"),
            "bias": True,
            "norm": "instance",
            "norm_eps": 1e-5,
            "norm_affine": True,
            "activation": "leaky-relu",
            "slope": 0.01,
        }


def configuration_of(plans: Mapping[str, Any], name: str) -> Configuration:
    """Return one configuration of the plans, with what it inherits.

    Raises
    ------
    ModelImportError : it is not there, needs the result of another network, or has a
        network or preprocessor that is not known here.
    """
    values = _inherited(plans, name)
    place = f"{PLACE} configurations.{name}"
    if values.get("previous_stage"):
        raise ModelImportError(f"{place}.previous_stage", "none, no cascade", "a previous stage")
    fields.choice(values, "preprocessor_name", place, ("DefaultPreprocessor",))
    fields.choice(plans, "label_manager", PLACE, ("LabelManager",), "LabelManager")
    if "architecture" in values:
        architecture = fields.section(values, "architecture", place)
        named = fields.text(architecture, "network_class_name", f"{place}.architecture")
    else:
        named = fields.text(values, "UNet_class_name", place)
    network = named.rpartition(".")[2]
    fields.choice({"network": network}, "network", place, tuple(NETWORKS))
    return Configuration(values, plans, place, NETWORKS[network])


def _inherited(plans: Mapping[str, Any], name: str) -> dict[str, Any]:
    configurations = fields.section(plans, "configurations", PLACE)
    chain: list[Mapping[str, Any]] = []
    wanted: Any = name
    while wanted is not None:
        if len(chain) > _MOST_PARENTS:
            raise ModelImportError(f"{PLACE} inherits_from", "a chain that ends", "a circle")
        if wanted not in configurations:
            raise ModelImportError(
                f"{PLACE} configurations", f"{str(wanted)[:40]}", ", ".join(configurations)
            )
        chain.append(fields.section(configurations, wanted, f"{PLACE} configurations"))
        wanted = chain[-1].get("inherits_from")
    found: dict[str, Any] = {}
    for item in reversed(chain):
        found |= item
    return found


def _dimensions(arguments: Mapping[str, Any], place: str) -> int:
    word = _word(arguments.get("conv_op"), {"Conv3d": "3", "Conv2d": "2"}, f"{place}.conv_op")
    return int(word)


def _word(value: Any, words: Mapping[str, str], place: str) -> str:
    """Return our word for a class of torch that is named with its path; None is ``none``."""
    if value is None:
        return "none"
    name = str(value).rpartition(".")[2]
    for start, word in words.items():
        if name.startswith(start):
            return word
    raise ModelImportError(place, " or ".join(words), fields.shown(value))
