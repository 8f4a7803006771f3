"""A small MONAI bundle, ONNX file and TorchScript file, each with its statement.

The bundle is written as the bundles of MONAI's model zoo are; MONAI itself can run it.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

CODE = {"value": "1", "scheme": "99TEST", "meaning": "Test"}
BONE = {"value": "272673000", "scheme": "SCT", "meaning": "Bone"}
TUMOUR = {"value": "86049000", "scheme": "SCT", "meaning": "Neoplasm, Primary"}
CENTRES = torch.tensor([0.0, 60.0, 300.0])
"""Intensities of air, shell and core of `foreign_models.body`."""
RANGE = (-50.0, 350.0)


class Blurred(nn.Module):
    """Logits by the distance of a blurred intensity to that of each structure.

    Decided like a trained network, and the same on every machine.
    """

    def __init__(self, low: float = RANGE[0], high: float = RANGE[1]) -> None:
        super().__init__()
        self.blur = nn.Conv3d(1, 1, 3, padding=1, bias=False)
        weight = torch.tensor([0.25, 0.5, 0.25])
        kernel = torch.einsum("a,b,c->abc", weight, weight, weight)
        self.blur.weight.data.copy_(kernel[None, None])
        self.centres = nn.Parameter(((CENTRES - low) / (high - low)).view(1, 3, 1, 1, 1))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return (N, 3, ...) logits."""
        return -80.0 * (self.blur(batch) - self.centres) ** 2


def monai_network() -> nn.Module:
    """Return a MONAI UNet that answers nearly as `Blurred` does, after a few steps."""
    from monai.networks.nets import UNet

    torch.manual_seed(5)
    network = UNet(**UNET)
    teacher = Blurred()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(5)
    for _ in range(40):
        coarse = torch.rand(2, 1, 4, 4, 4, generator=generator)
        batch = nn.functional.interpolate(coarse, scale_factor=4, mode="trilinear")
        with torch.no_grad():
            target = teacher(batch).argmax(dim=1)
        loss = nn.functional.cross_entropy(network(batch), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


UNET: dict[str, Any] = {
    "spatial_dims": 3, "in_channels": 1, "out_channels": 3, "channels": [4, 8], "strides": [2],
    "num_res_units": 1, "norm": "batch",
}  # fmt: skip


def metadata() -> dict[str, Any]:
    """Return configs/metadata.json."""
    return {
        "version": "0.3.1",
        "monai_version": "1.6.1",
        "name": "Small bundle",
        "task": "Outline two structures",
        "description": "A bundle made for a test.",
        "authors": "The suite's tests",
        "copyright": "none",
        "data_source": "none, synthetic",
        "data_type": "nifti",
        "intended_use": "Tests only.",
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image", "format": "hounsfield", "modality": "CT", "num_channels": 1,
                    "spatial_shape": [16, 16, 16], "dtype": "float32", "value_range": [0, 1],
                    "is_patch_data": True, "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image", "format": "segmentation", "num_channels": 3,
                    "channel_def": {"0": "background", "1": "bone", "2": "tumour"},
                }
            },
        },
    }  # fmt: skip


def inference(**changes: Any) -> dict[str, Any]:
    """Return configs/inference.json, in the form of the model zoo."""
    document: dict[str, Any] = {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "device": "$torch.device('cpu')",
        "datalist": "$list(sorted(glob.glob('*.nii.gz')))",
        "patch": [24, 20, 16],
        "network_def": {"_target_": "UNet", **UNET},
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
                {
                    "_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 1.5, 2.0],
                    "mode": "bilinear",
                },
                {
                    "_target_": "ScaleIntensityRanged", "keys": "image", "a_min": RANGE[0],
                    "a_max": RANGE[1], "b_min": 0, "b_max": 1, "clip": True,
                },
                {"_target_": "EnsureTyped", "keys": "image"},
            ],
        },
        "inferer": {
            "_target_": "SlidingWindowInferer", "roi_size": "@patch", "sw_batch_size": 4,
            "overlap": 0.5, "mode": "gaussian", "sw_device": "@device",
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {
                    "_target_": "Invertd", "keys": "pred", "transform": "@preprocessing",
                    "orig_keys": "image", "nearest_interp": False, "to_tensor": True,
                },
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@bundle_root"},
            ],
        },
    }  # fmt: skip
    return document | changes


def bundle_folder(root: Path, network: nn.Module, *, script: bool = False, **changes: Any) -> Path:
    """Write a MONAI bundle with a state dict, or with TorchScript, and return it."""
    (root / "configs").mkdir(parents=True, exist_ok=True)
    (root / "models").mkdir(exist_ok=True)
    (root / "configs" / "metadata.json").write_text(json.dumps(metadata()))
    (root / "configs" / "inference.json").write_text(json.dumps(inference(**changes)))
    if script:
        (root / "models" / "model.ts").write_bytes(torchscript(network))
    else:
        torch.save(network.state_dict(), root / "models" / "model.pt")
    return root


def torchscript(network: nn.Module) -> bytes:
    """Return a network as TorchScript."""
    sink = io.BytesIO()
    torch.jit.save(torch.jit.script(network), sink)
    return sink.getvalue()


def onnx_file(external: bool = False, domain: str = "") -> bytes:
    """Return `Blurred` as an ONNX file, written by hand with the library onnx."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    network = Blurred()
    kernel = network.blur.weight.detach().numpy()
    centres = network.centres.detach().numpy()
    weights = [
        numpy_helper.from_array(kernel, "kernel"),
        numpy_helper.from_array(centres, "centres"),
        numpy_helper.from_array(torch.tensor(-80.0).numpy(), "slope"),
    ]
    if external:
        weights[0].data_location = TensorProto.EXTERNAL
        entry = weights[0].external_data.add()
        entry.key, entry.value = "location", "weights.bin"
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["blurred"], pads=[1] * 6),
        helper.make_node("Sub", ["blurred", "centres"], ["apart"]),
        helper.make_node("Mul", ["apart", "apart"], ["square"]),
        helper.make_node("Mul", ["square", "slope"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "blurred",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, "a", "b", "c"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3, "a", "b", "c"])],
        weights,
    )
    opsets = [helper.make_opsetid("", 17)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    content: bytes = onnx.ModelProto.SerializeToString(model)
    return content


def statement(**changes: Any) -> dict[str, Any]:
    """Return a whole statement for a single file; of its network `Blurred`."""
    document: dict[str, Any] = {
        "name": "bonecore",
        "version": "1.2.0",
        "title": "Bone and core",
        "intended_purpose": "Outline bone and core of a synthetic body, for tests.",
        "evidence": "simulated",
        "licence": "Apache-2.0",
        "supplier": "The suite's tests",
        "training": {"source": "synthetic bodies", "licence": "CC0-1.0", "patients": ["b1", "b2"]},
        "envelope": {"slice_spacing_mm": [1.0, 5.0], "in_plane_mm": [0.5, 3.0]},
        "limits": {"wall_time_s": 60.0, "memory_mb": 4096, "threads": 1},
        "known_limits": ["Made for a test."],
        "inputs": [
            {
                "role": "ct", "modality": "CT",
                "normalise": {
                    "method": "range", "low": RANGE[0], "high": RANGE[1], "to_low": 0.0,
                    "to_high": 1.0, "clip": True,
                },
            }
        ],
        "outputs": {
            "activation": "softmax",
            "channels": 3,
            "labels": [
                {"from": 1, "name": "Bone", "code": BONE},
                {"from": 2, "name": "GTVp", "code": TUMOUR, "type": "GTV"},
            ],
        },
        "preprocessing": {"orientation": "RAS", "spacing_mm": [1.5, 1.5, 2.0]},
        "inference": {"patch": [24, 20, 16], "overlap": 0.5},
    }  # fmt: skip
    return document | changes


def bundle_statement(**changes: Any) -> dict[str, Any]:
    """Return a statement for the bundle, which says the rest itself."""
    document = statement()
    for key in ("preprocessing", "inference"):
        del document[key]
    document["inputs"] = [{"role": "ct", "modality": "CT"}]
    document["outputs"] = {
        "labels": [
            {"from": "bone", "name": "Bone", "code": BONE},
            {"from": "tumour", "name": "GTVp", "code": TUMOUR, "type": "GTV"},
        ]
    }
    return document | changes
