"""Small real releases in memory, and changed ones, for change control.

`small_release` is a complete, canonical bundle of one plugin; `put` and `members` change one
thing of it.
"""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from safetensors.numpy import save

from governance.release import Release, build, digest_of, read_manifest

RECIPE = "sha256:" + "1" * 64
DECLARATION: dict[str, Any] = {
    "plugin": "knee",
    "version": "1.2.3",
    "title": "Knee",
    "intended_purpose": "Outline the knee on CT.",
    "evidence": "real",
    "built_by": "osteon 0.1.0",
    "entry_point": "plugins.knee.plugin:Knee",
    "host_api": 1,
    "inputs": [{"role": "ct", "modality": "CT", "required": True}],
    "outputs": [{"kind": "Segmentation", "name": "Knee", "code_value": "1"}],
    "envelope": {
        "age_years": [18, 90], "slice_spacing_mm": [1, 3], "body_parts": ["KNEE"],
        "quality_flags_refused": ["metal"], "trained_field_mm": [100, 100, 100],
        "kernels_refused": ["B70", "B80"],
    },
    "routing": [{"keyword": "BodyPartExamined", "operator": "present", "applies_to": ""}],
    "parameters": {"mirrored": True, "threshold": 0.5, "abstain_below": 0.3, "alpha_beta_gy": 3},
    "limits": {"memory_mb": 4096},
    "runtime": {"python": "3.11", "pins": {"numpy": "2.4.6", "torch": "2.13.0"}},
    "weights": ["a.safetensors"],
    "model_packages": ["models.unet"],
    "training": [
        {"file": "a.safetensors", "role": "knee", "fold": 0, "recipe_digest": RECIPE,
         "trained_on": [f"p{n}" for n in range(8)], "licence": "CC-BY-4.0", "source": "here"},
    ],
    "udi": {"di": "04012345000017", "pi": "1.2.3"},
}  # fmt: skip
BILL = {
    "components": [
        {"type": "library", "name": "numpy", "version": "2.4.6",
         "licenses": [{"license": {"id": "BSD-3-Clause"}}],
         "properties": [{"name": "osteon:open-source", "value": "true"}]},
    ]
}  # fmt: skip
TENSORS = {"stem": np.arange(6, dtype=np.float32).reshape(2, 3), "head": np.ones(4, np.float32)}
WEIGHTS = "weights/a.safetensors"
PLUGIN, NETWORK = "code/plugins/knee/plugin.py", "code/models/unet/network.py"
MEMBERS: dict[str, bytes] = {
    PLUGIN: b"X = 1\n",
    NETWORK: b"WIDTH = 8\n",
    "code/models/unet/inputs.py": b"SPACING = 2\n",
    "code/models/unet/postprocess.py": b"LARGEST = 1\n",
    "code/models/unet/calibration.json": b'{"temperature": 1.5}',
    "code/plugins/knee/explain.py": b"STEPS = 8\n",
    "card.md": b"# Knee\n",
    "criteria.json": b'{"dsc": 0.8}',
    "sbom.json": json.dumps(BILL).encode(),
    WEIGHTS: save(TENSORS),
}
Change = Callable[[dict[str, Any], dict[str, bytes]], None]


def small_release(*changes: Change) -> Release:
    """Return the release with these changes made to its declaration and members."""
    declaration, content = copy.deepcopy(DECLARATION), dict(MEMBERS)
    for change in changes:
        change(declaration, content)
    return opened(build(declaration, content))


def opened(raw: bytes) -> Release:
    """Open a bundle in memory."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    manifest = content["manifest.json"]
    return Release(digest_of(manifest), read_manifest(manifest, "trial"), (), content.__getitem__)


def put(path: str, value: Any) -> Change:
    """Return a change that sets one value of the declaration."""

    def change(declaration: dict[str, Any], content: dict[str, bytes]) -> None:
        *way, last = path.split(".")
        place: Any = declaration
        for key in way:
            place = place[int(key) if key.isdigit() else key]
        place[int(last) if isinstance(place, list) else last] = value

    return change


def member(name: str, raw: bytes | None) -> Change:
    """Return a change that sets the bytes of one member, or removes it."""

    def change(declaration: dict[str, Any], content: dict[str, bytes]) -> None:
        if raw is None:
            del content[name]
        else:
            content[name] = raw

    return change


def retrained(patients: int = 8, recipe: str = RECIPE, **tensors: Any) -> Change:
    """Return a change of weights, trained on so many patients."""

    def change(declaration: dict[str, Any], content: dict[str, bytes]) -> None:
        changed = {**TENSORS, "stem": TENSORS["stem"] + np.float32(0.25), **tensors}
        content[WEIGHTS] = save(changed)
        row = declaration["training"][0]
        row |= {"trained_on": [f"p{n}" for n in range(patients)], "recipe_digest": recipe}

    return change


def labelled(text: bytes = b"# Knee, new numbers\n") -> Change:
    """Return a change of the model card."""
    return member("card.md", text)


def renumbered(version: str = "1.3.0", di: str = "04012345000017") -> Change:
    """Return a change of version and UDI."""

    def change(declaration: dict[str, Any], content: dict[str, bytes]) -> None:
        declaration |= {"version": version, "udi": {"di": di, "pi": version}}

    return change
