"""Copies of the contouring release that put the lesion elsewhere, built as releases are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from adapters.validation.judging import UnderTest
from governance.release import build, folder_name, open_release, unpack
from tests.simulators.validation_cohort import contouring_under_test

PLUGIN = "code/plugins/contouring/plugin.py"
FAULTS = {
    "mirrored": "whole[:, :, ::-1]",
    "axis-swapped": "_swapped(whole)",
    "half a voxel along columns": "np.maximum(whole, np.roll(whole, 1, axis=2))",
    "half a voxel along frames": "np.maximum(whole, np.roll(whole, 1, axis=0))",
}
"""What each copy does to a mask on the voxels of the CT.  A mask together with itself one voxel
further is the mask interpolated linearly half a voxel further and cut at one half."""
_CODE = """

_placed = Work.on_ct


def _swapped(whole):
    found = np.zeros_like(whole)
    turned = whole.swapaxes(1, 2)
    rows, columns = min(whole.shape[1], turned.shape[1]), min(whole.shape[2], turned.shape[2])
    found[:, :rows, :columns] = turned[:, :rows, :columns]
    return found


def _misplaced(self, values):
    whole = _placed(self, values)
    return np.ascontiguousarray({fault})


Work.on_ct = _misplaced
"""


def misplacing(folder: Path, fault: str) -> UnderTest:
    """Return a release that has one of `FAULTS`, unpacked below a folder."""
    true = contouring_under_test(folder)
    release = open_release(next((folder / "bundle").glob("*.osteon")))
    members = {name: release.member(name) for name in release.members}
    members[PLUGIN] += _CODE.replace("{fault}", FAULTS[fault]).encode()
    declaration = {k: v for k, v in release.manifest.items() if k != "members"}
    path = folder / "misplacing.osteon"
    path.write_bytes(build(declaration, members))
    broken = open_release(path)
    broken.verify()
    unpack(broken, true.releases / folder_name(broken.digest))
    return replace(true, digest=broken.digest)
