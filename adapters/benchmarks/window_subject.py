"""What both sides of the sliding-window benchmark work on: a CT, its truth, a small nnU-Net.

    windows/ct.npz         a limb with a bone and a tumour in it, in air; the truth; the spacing
    windows/model/         a trained-model folder as nnU-Net v2 writes it

The network is trained here for some seconds on other phantoms, seeded, so that it knows bone and
tumour well enough for a DSC to mean something. Read next: `numerics.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from models.importers.networks.unet import UNet
from models.importers.nnunet_plans import configuration_of

SHAPE = (96, 320, 320)
SPACING_MM = (2.5, 1.5, 1.5)
NETWORK_MM = (2.5, 3.0, 3.0)
PATCH = (48, 64, 64)
TAUGHT = (24, 32, 32)  # window in training, which is short
STEPS = 160
LABELS = {"background": 0, "bone": 1, "tumour": 2}
HU = (-1000.0, 40.0, 700.0, 160.0)  # air, soft tissue, bone, tumour
PROPERTIES = {"mean": 80.0, "std": 250.0, "percentile_00_5": -200.0, "percentile_99_5": 900.0}


def make_windows(folder: Path) -> None:
    """Write the CT and the model."""
    place = folder / "windows"
    place.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(20261126)
    truth, image = _limb(random, SHAPE, SPACING_MM)
    np.savez(place / "ct.npz", image=image, truth=truth, spacing=np.array(SPACING_MM))
    model = place / "model" / "fold_0"
    model.mkdir(parents=True, exist_ok=True)
    plans, dataset = _plans(), _dataset()
    (model.parent / "plans.json").write_text(json.dumps(plans))
    (model.parent / "dataset.json").write_text(json.dumps(dataset))
    checkpoint = {
        "network_weights": _with_copies(_trained(plans, random)),
        "init_args": {"plans": plans, "configuration": "3d_fullres", "fold": 0},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }
    torch.save(checkpoint, model / "checkpoint_final.pth")


def _limb(
    random: np.random.Generator, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return labels (1 bone, 2 tumour) and HU of a limb of 300 x 220 mm along the frames."""
    sizes = zip(shape, spacing, strict=True)
    z, y, x = np.meshgrid(*[(np.arange(n) - n / 2) * s for n, s in sizes], indexing="ij")
    shift, bend = random.uniform(-25, 25, 2), random.uniform(-0.15, 0.15, 2)
    body = (y / 110) ** 2 + (x / 150) ** 2 < 1
    along = np.hypot(y - shift[0] - bend[0] * z, x - shift[1] - bend[1] * z)
    centre, half = random.uniform(-60, 60), random.uniform(18, 34, 3)
    far = ((z - centre) / half[0]) ** 2 + ((y - shift[0] - 12) / half[1]) ** 2
    far += ((x - shift[1] - 12) / half[2]) ** 2
    labels = np.zeros(shape, dtype=np.uint8)
    labels[(along < 17) & (along > 9)] = 1
    labels[far < 1] = 2
    labels[~body] = 0
    tissue = np.where(body, labels + 1, 0)
    noise = ndimage.gaussian_filter(random.normal(0, 120, shape), 1.0)
    return labels, np.asarray(np.array(HU)[tissue] + np.where(body, noise, 0.0), dtype=np.float32)


def _trained(plans: dict[str, Any], random: np.random.Generator) -> dict[str, torch.Tensor]:
    """Return the weights after some steps on windows of other limbs."""
    torch.manual_seed(20261126)
    network = UNet(configuration_of(plans, "3d_fullres").plan(1, len(LABELS)), residual=False)
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    rule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=STEPS)
    for step in range(STEPS):
        if step % 10 == 0:
            labels, image = _limb(random, (56, 80, 104), NETWORK_MM)
        start = [
            int(random.integers(0, n - p + 1)) for n, p in zip(image.shape, PATCH, strict=True)
        ]
        box = tuple(slice(a, a + p) for a, p in zip(start, PATCH, strict=True))
        clipped = np.clip(image[box], PROPERTIES["percentile_00_5"], PROPERTIES["percentile_99_5"])
        values = torch.from_numpy((clipped - PROPERTIES["mean"]) / PROPERTIES["std"])
        answer = network(values[None, None])
        loss = torch.nn.functional.cross_entropy(
            answer, torch.from_numpy(labels[box].astype(np.int64))[None], torch.tensor([1.0, 3, 3])
        )
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        rule.step()
    return network.state_dict()


def _dataset() -> dict[str, Any]:
    names = {"channel_names": {"0": "CT"}, "labels": LABELS}
    return {**names, "numTraining": 20, "file_ending": ".nii.gz"}


def _plans() -> dict[str, Any]:
    """Return plans.json of a small network in the form of nnU-Net 2.4 and later."""
    resample = "resample_data_or_seg_to_shape"
    kind = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
    there = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": "small",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(PATCH),
        "median_image_size_in_voxels": list(SHAPE),
        "spacing": list(NETWORK_MM),
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": resample,
        "resampling_fn_seg": resample,
        "resampling_fn_data_kwargs": there,
        "resampling_fn_seg_kwargs": {**there, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": resample,
        "resampling_fn_probabilities_kwargs": {**there, "order": 1},
        "architecture": {
            "network_class_name": kind,
            "arch_kwargs": _architecture(),
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }
    return {
        "dataset_name": "Dataset901_Limb",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": list(SPACING_MM),
        "original_median_shape_after_transp": list(SHAPE),
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": PROPERTIES},
    }


def _architecture() -> dict[str, Any]:
    """Return the arguments of nnU-Net's PlainConvUNet."""
    module = "torch.nn.modules"
    return {
        "n_stages": 3,
        "features_per_stage": [6, 12, 24],
        "conv_op": f"{module}.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3]] * 3,
        "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
        "n_conv_per_stage": [2, 2, 2],
        "n_conv_per_stage_decoder": [2, 2],
        "conv_bias": True,
        "norm_op": f"{module}.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


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
