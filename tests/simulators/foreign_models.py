"""Models of other tools, made small: an nnU-Net folder, a MONAI bundle, ONNX, TorchScript.

They are trained for a few steps on the very body that they are shown; what is tested is
that the same numbers come out here as in the tool itself.  The nnU-Net folder is written
the way nnU-Net 2.8 writes it, copies of tensors included.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.importers.networks.unet import UNet
from models.importers.nnunet_plans import Configuration, configuration_of
from models.importers.steps import Image, Normalise, Resample

SPACING = (3.0, 1.2, 1.2)
"""Of the case: frames, rows, columns in mm."""
STEPS = 40
AXES = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
"""An axial series: frames grow to S, rows to P, columns to L (x, y, z in LPS)."""


def body(
    shape: tuple[int, int, int] = (24, 44, 40), channels: int = 1, seed: int = 3
) -> NDArray[np.float32]:
    """Return channels of an ellipsoid in air, 0 outside, with a core of other intensity."""
    generator = np.random.default_rng(seed)
    labels = structures(shape)
    found = []
    for channel in range(channels):
        image = np.choose(labels, [0.0, 60.0, 300.0 - 180.0 * channel])
        noise = generator.normal(0.0, 15.0, shape)
        found.append(np.where(labels > 0, image + noise, 0.0))
    return np.asarray(found, dtype=np.float32)


def structures(shape: tuple[int, int, int] = (24, 44, 40)) -> NDArray[np.int64]:
    """Return the truth of `body`: 0 air, 1 shell, 2 core."""
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    axes = zip(grid, (0.85, 0.75, 0.7), strict=True)
    radius = np.sqrt(np.sum([(places / size) ** 2 for places, size in axes], axis=0))
    return (radius < 1).astype(np.int64) + (radius < 0.45)


def plans(
    *,
    residual: bool = False,
    planar: bool = False,
    channels: int = 1,
    scheme: str = "CTNormalization",
    spacing: tuple[float, ...] = (3.0, 1.5, 1.5),
    reader: str = "SimpleITKIO",
    forward: tuple[int, int, int] = (0, 1, 2),
) -> dict[str, Any]:
    """Return plans.json of a small nnU-Net, in the form of nnU-Net 2.4 and later."""
    dimensions = 2 if planar else 3
    kind = "ResidualEncoderUNet" if residual else "PlainConvUNet"
    module = "torch.nn.modules"
    architecture = {
        "n_stages": 3,
        "features_per_stage": [8, 12, 16],
        "conv_op": f"{module}.conv.Conv{dimensions}d",
        "kernel_sizes": [[1, 3, 3][-dimensions:], [3] * dimensions, [3] * dimensions],
        "strides": [[1] * dimensions, [1, 2, 2][-dimensions:], [2] * dimensions],
        "n_blocks_per_stage" if residual else "n_conv_per_stage": [1, 2, 2],
        "n_conv_per_stage_decoder": [1, 1],
        "conv_bias": True,
        "norm_op": f"{module}.instancenorm.InstanceNorm{dimensions}d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    resampling = {"is_seg": False, "order_z": 0, "force_separate_z": None}
    name = "resample_data_or_seg_to_shape"
    configuration = {
        "data_identifier": "small",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [16, 24, 24][-dimensions:],
        "median_image_size_in_voxels": [24, 40, 40][-dimensions:],
        "spacing": list(spacing[-dimensions:]),
        "normalization_schemes": [scheme] * channels,
        "use_mask_for_norm": [scheme == "ZScoreNormalization"] * channels,
        "resampling_fn_data": name,
        "resampling_fn_seg": name,
        "resampling_fn_data_kwargs": {**resampling, "order": 3},
        "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": name,
        "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
        "architecture": {
            "network_class_name": f"dynamic_network_architectures.architectures.unet.{kind}",
            "arch_kwargs": architecture,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }
    properties = {"mean": 110.0, "std": 90.0, "percentile_00_5": -20.0, "percentile_99_5": 330.0}
    return {
        "dataset_name": "Dataset900_Small",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [3.0, 1.5, 1.5],
        "original_median_shape_after_transp": [24, 40, 40],
        "image_reader_writer": reader,
        "transpose_forward": list(forward),
        "transpose_backward": [int(place) for place in np.argsort(forward)],
        "configurations": {"2d" if planar else "3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            str(channel): properties for channel in range(channels)
        },
    }


def dataset(
    channels: int = 1, labels: dict[str, Any] | None = None, regions: list[int] | None = None
) -> dict[str, Any]:
    """Return dataset.json of a small nnU-Net."""
    names = {"0": "CT", "1": "PET"}
    found: dict[str, Any] = {
        "channel_names": {str(i): names[str(i)] for i in range(channels)},
        "labels": labels or {"background": 0, "bone": 1, "tumour": 2},
        "numTraining": 20,
        "file_ending": ".nii.gz",
    }
    return found if regions is None else {**found, "regions_class_order": regions}


def nnunet_folder(
    root: Path,
    plan: dict[str, Any],
    data: dict[str, Any],
    *,
    folds: tuple[str, ...] = ("0",),
    mirror: tuple[int, ...] | None = (0, 1, 2),
    extra: dict[str, Any] | None = None,
) -> Path:
    """Write a trained-model folder of nnU-Net v2 with drawn weights and return it."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "plans.json").write_text(json.dumps(plan))
    (root / "dataset.json").write_text(json.dumps(data))
    (name,) = plan["configurations"]
    for index, fold in enumerate(folds):
        checkpoint = {
            "network_weights": _with_copies(trained(plan, data, seed=index)),
            "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01}]},
            "grad_scaler_state": None,
            "logging": {"ema_fg_dice": [np.float64(0.5)], "epoch_end_timestamps": [1.0]},
            "_best_ema": np.float64(0.5),
            "current_epoch": 1000,
            "init_args": {"plans": plan, "configuration": name, "fold": 0, "dataset_json": data},
            "trainer_name": "nnUNetTrainer",
            "inference_allowed_mirroring_axes": mirror,
            **(extra or {}),
        }
        place = root / f"fold_{fold}"
        place.mkdir(exist_ok=True)
        torch.save(checkpoint, place / "checkpoint_final.pth")
    return root


def trained(plan: dict[str, Any], data: dict[str, Any], seed: int = 0) -> dict[str, torch.Tensor]:
    """Return the weights of `_trained`; trained once for each plan, data and seed."""
    return dict(_trained(json.dumps(plan), json.dumps(data), seed))


@cache
def _trained(plan_text: str, data_text: str, seed: int) -> dict[str, torch.Tensor]:
    """Return weights of the network of the plans after a few steps on the body itself.

    It learns to tell core, shell and air apart, so that its answers are as decided as those
    of a real network: drawn weights leave most voxels on the fence.
    """
    plan, data = json.loads(plan_text), json.loads(data_text)
    (name,) = plan["configurations"]
    configuration = configuration_of(plan, name)
    labels = [value for key, value in data["labels"].items() if key not in ("background", "ignore")]
    regions = any(isinstance(value, list) for value in labels)
    channels = len(data["channel_names"])
    numbers = configuration.plan(channels, len(labels) + (not regions))
    torch.manual_seed(seed)
    network = UNet(numbers, residual=configuration.residual)
    image, truth = _prepared(configuration, channels)
    wanted = (
        torch.stack([torch.isin(truth, torch.tensor(region)).float() for region in labels])
        if regions
        else truth
    )
    generator = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(STEPS):
        box = _box(image.shape[1:], configuration.patch, generator)
        batch, target = image[(slice(None), *box)][None], wanted[(..., *box)][None]
        if configuration.planar:
            batch, target = batch[:, :, 0], target[..., 0, :, :]
        answer = network(batch)
        loss = (
            torch.nn.functional.binary_cross_entropy_with_logits(
                answer, target, pos_weight=torch.tensor(4.0)
            )
            if regions
            else torch.nn.functional.cross_entropy(answer, target)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.state_dict()


def _prepared(configuration: Configuration, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the prepared body, at least as large as a window, and its structures there."""
    raw = body(channels=channels)
    image = Image(np.concatenate([raw, structures()[None].astype(np.float32)]), SPACING, AXES)
    for step in configuration.steps():
        if isinstance(step, Normalise):
            found = step.apply(replace(image, array=image.array[:-1]))[0].array
            image = replace(image, array=np.concatenate([found, image.array[-1:]]))
        elif isinstance(step, Resample):
            nearest = replace(step, order=0).apply(replace(image, array=image.array[-1:]))[0]
            found = step.apply(replace(image, array=image.array[:-1]))[0].array
            image = replace(nearest, array=np.concatenate([found, nearest.array]))
        else:
            image = step.apply(image)[0]
    sizes = zip(image.array.shape[1:], configuration.patch, strict=True)
    padded = np.pad(image.array, [(0, 0), *((0, max(p - n, 0)) for n, p in sizes)])
    return torch.from_numpy(padded[:-1].copy()), torch.from_numpy(padded[-1].astype(np.int64))


def _box(shape: Any, patch: Any, generator: np.random.Generator) -> tuple[slice, ...]:
    starts = [int(generator.integers(0, n - p + 1)) for n, p in zip(shape, patch, strict=True)]
    return tuple(slice(start, start + p) for start, p in zip(starts, patch, strict=True))


def _with_copies(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors under all names that nnU-Net's modules register them with."""
    found = {}
    for key, tensor in state.items():
        names = [key]
        for part, place in ((".conv.", ".all_modules.0."), (".norm.", ".all_modules.1.")):
            if part in key:
                names.append(place.join(key.rsplit(part, 1)))
        for own in names:
            found[own] = tensor
            if own.startswith("encoder."):
                found[f"decoder.{own}"] = tensor
    return found


def saved(value: Any) -> bytes:
    """Return what torch.save writes of a value."""
    sink = io.BytesIO()
    torch.save(value, sink)
    return sink.getvalue()
