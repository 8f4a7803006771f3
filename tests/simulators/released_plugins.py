"""Releases of small plugins written in a test: built, unpacked, ready for a worker."""

from __future__ import annotations

import json
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from governance.release import Release, build, folder_name, open_release, unpack
from plugins.host.case import Case, Subject
from plugins.host.images import Geometry, Volume
from plugins.host.manifest import Input, Limits, Manifest, Output, encode
from plugins.host.ports import RunRequest

AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
LIMITS = Limits(wall_time_s=30.0, memory_mb=1024, explanation_s=10.0, threads=1)

HEAD = """
import numpy as np
from plugins.host.findings import (
    Explanation, Measurement, Prediction, Segmentation, Uncertainty,
)
from plugins.host.images import Code, Geometry
from plugins.trial import MANIFEST

CODE = Code("91723000", "SCT", "Anatomical Structure")

def answer(case, factor=1.0, mask=None, voxels=None):
    ct = case.images["ct"]
    mask = ct.array > 300.0 if mask is None else mask
    size = Measurement(CODE, float(mask.sum()) * factor, "1")
    found = Segmentation("Bone", mask, ct.geometry, "ct", CODE, CODE, "ORGAN", (size,))
    sure = Uncertainty("trial", 0.5, (0.4, 0.6), voxels, ct.geometry)
    return Prediction((found,), sure)

class Trial:
    manifest = MANIFEST
    def load(self, artifact):
        self.artifact = artifact
"""
PACKAGE = """
from plugins.host.manifest import Input, Manifest, Output
MANIFEST = Manifest("trial", "1.0.0", "Trial", "Test", "analytic", inputs=(Input("ct", "CT"),),
                    outputs=(Output("Segmentation", "Bone", "1", "SCT", "Bone"),))
"""


def known_bill() -> bytes:
    """Return a bill of materials of one library, whose licence is known and open source."""
    numpy = {
        "type": "library",
        "name": "numpy",
        "version": np.__version__,
        "licenses": [{"license": {"id": "BSD-3-Clause"}}],
        "properties": [{"name": "osteon:open-source", "value": "true"}],
    }
    return json.dumps({"components": [numpy]}).encode()


def small_case(shape: tuple[int, int, int] = (6, 16, 20), patient: str = "Quillfeather") -> Case:
    """Return a CT with a bright box; its acquisition carries a word that must not leak."""
    geometry = Geometry(shape, (3.0, 1.0, 1.5), (-10.0, -20.0, 30.0), AXES, "1.2.3.4")
    array = np.full(shape, -1000.0, np.float32)
    array[2:4, 4:12, 5:15] = 700.0
    volume = Volume(
        array, geometry, "CT", "[hnsf'U]", "1.2.3", "1.2.3.5", "1.2.840.10008.5.1.4.1.1.2",
        tuple(f"1.2.3.6.{frame}" for frame in range(shape[0])), {"institution": patient},
    )  # fmt: skip
    return Case("1.2.3", Subject(), {"ct": volume}, body_part="LEG")


def bundle(
    methods: str,
    *,
    version: str = "1.0.0",
    limits: Limits = LIMITS,
    members: dict[str, bytes] | None = None,
    **declaration: Any,
) -> bytes:
    """Return the bytes of a release of plugin ``trial`` whose class has these methods."""
    manifest = Manifest(
        plugin="trial",
        version=version,
        title="Trial",
        intended_purpose="Test",
        evidence="analytic",
        inputs=(Input("ct", "CT"),),
        outputs=(Output("Segmentation", "Bone", "272673000", "SCT", "Bone"),),
        limits=limits,
    )
    source = HEAD + textwrap.indent(textwrap.dedent(methods), "    ")
    content = {
        "code/plugins/trial/__init__.py": PACKAGE.encode(),
        "code/plugins/trial/plugin.py": source.encode(),
        "card.md": b"# Trial\n",
        "sbom.json": known_bill(),
    }
    entry = {"entry_point": "plugins.trial.plugin:Trial", "runtime": {"pins": {}}}
    return build(encode(manifest) | entry | declaration, content | (members or {}))


def opened(raw: bytes, folder: Path) -> Release:
    """Write a bundle into ``folder`` and open it."""
    path = folder / "trial.osteon"
    path.write_bytes(raw)
    return open_release(path)


def install(raw: bytes, home: Path) -> str:
    """Unpack a bundle into ``home`` and return its digest."""
    home.mkdir(parents=True, exist_ok=True)
    release = opened(raw, home)
    unpack(release, home / folder_name(release.digest))
    return release.digest


def request_for(digest: str, **parameters: float | str | bool) -> RunRequest:
    """Return a request of one run of the release."""
    return RunRequest(
        "0" * 32, "1.2.3", "trial", "1.0.0", digest, "research", {"ct": "1.2.3.5"}, ("1.2.3.6.0",),
        datetime(2026, 1, 2, tzinfo=UTC), parameters,
    )  # fmt: skip
