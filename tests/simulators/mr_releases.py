"""Releases of a small plugin that outlines the phantom's lesion on MR by threshold, and copies
that put it elsewhere."""

from __future__ import annotations

from pathlib import Path

from adapters.validation.judging import UnderTest
from governance.release import build
from plugins.host import manifest as manifests
from plugins.host.manifest import Input, Manifest, Output, Rule
from tests.simulators.released_plugins import LIMITS, install, known_bill

MR = Input("mr", "MR")
CT = Input("ct", "CT")
T1, T2 = Input("t1", "MR"), Input("t2", "MR", same_frame_as="t1")
ECHO_TIMES = (
    Rule("EchoTime", "at_most", 30.0, applies_to="t1"),
    Rule("EchoTime", "at_least", 60.0, applies_to="t2"),
)
"""Rules by which two roles of one modality are told apart."""
Rules = tuple[Rule, ...]
FAULTS = {
    "mirrored": "mask[:, :, ::-1]",
    "axis-swapped": "swapped(mask)",
    "half a voxel along columns": "np.maximum(mask, np.roll(mask, 1, axis=2))",
    "half a voxel along frames": "np.maximum(mask, np.roll(mask, 1, axis=0))",
}
"""What each copy does to its mask; see `misplacing_releases.FAULTS`."""
_PACKAGE = """
from plugins.host.manifest import decode
MANIFEST = decode({stated})
"""
_CODE = """
import numpy as np
from scipy import ndimage
from plugins.host.findings import Prediction, Segmentation, Uncertainty
from plugins.host.images import Code
from plugins.threshold_mr import MANIFEST

ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
LESION = Code("86049000", "SCT", "Neoplasm, Primary")


def swapped(whole):
    found = np.zeros_like(whole)
    turned = whole.swapaxes(1, 2)
    rows, columns = min(whole.shape[1], turned.shape[1]), min(whole.shape[2], turned.shape[2])
    found[:, :rows, :columns] = turned[:, :rows, :columns]
    return found


class Threshold:
    manifest = MANIFEST

    def load(self, artifact):
        pass

    def predict(self, case, parameters):
        mr = case.images["{role}"]
        shown = np.abs(mr.array - 600.0) < 135.0
        if "t2" in case.images:
            shown &= case.images["t2"].array > 500.0
        core = ndimage.binary_opening(shown, iterations=2)
        labels, _ = ndimage.label(core)
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        mask = ndimage.binary_dilation(labels == sizes.argmax(), iterations=1)
        mask = np.ascontiguousarray({fault})
        region = Segmentation("GTVp", mask, mr.geometry, "{role}", ABNORMAL, LESION, "GTV")
        return Prediction((region,), Uncertainty("threshold", 0.5, (0.4, 0.6)))
"""


def mr_bundle(
    fault: str = "", *, inputs: tuple[Input, ...] = (MR,), rules: Rules = ()
) -> tuple[Manifest, bytes]:
    """Return manifest and bytes of the release with these inputs, or with one of `FAULTS`.

    It outlines what is bright on the role ``mr`` or ``t1``, with ``t2`` where that is bright too.
    """
    manifest = Manifest(
        *("threshold_mr", "1.0.0", "Lesion on MR by threshold", "Test", "analytic"),
        inputs=inputs,
        outputs=(Output("Segmentation", "GTVp", "86049000", "SCT", "Neoplasm, Primary"),),
        routing=rules,
        limits=LIMITS,
    )
    role = "mr" if any(item.role == "mr" for item in inputs) else "t1"
    entry = {"entry_point": "plugins.threshold_mr.plugin:Threshold", "runtime": {"pins": {}}}
    members = {
        "code/plugins/threshold_mr/__init__.py": _PACKAGE.replace(
            "{stated}", repr(manifests.encode(manifest))
        ).encode(),
        "code/plugins/threshold_mr/plugin.py": _CODE.replace("{fault}", FAULTS.get(fault, "mask"))
        .replace("{role}", role)
        .encode(),
        "card.md": b"# Threshold\n",
        "sbom.json": known_bill(),
    }
    return manifest, build(manifests.encode(manifest) | entry, members)


def mr_release(
    folder: Path, fault: str = "", *, inputs: tuple[Input, ...] = (MR,), rules: Rules = ()
) -> UnderTest:
    """Return such a release, unpacked below a folder."""
    manifest, raw = mr_bundle(fault, inputs=inputs, rules=rules)
    return UnderTest(manifest, install(raw, folder), (), folder)
