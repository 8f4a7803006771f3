"""The geometry test with MR: a release that takes MR is tried, copies that misplace are refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from adapters.phantom_roles import LESION, outlines_the_phantom, phantom_roles
from adapters.plugin_geometry import draw, presentations, read_back
from adapters.release_geometry import known_geometry, watch_releases
from governance.gates import Passage
from governance.known_answer import PLUGIN_FAILED, PluginGeometryGate
from governance.stops import stop_of
from plugins.host.manifest import Input, Manifest, Output
from tests.simulators.governed_site import add_release, governed_site
from tests.simulators.limb_case import MANIFEST
from tests.simulators.mr_releases import CT, FAULTS, MR, mr_release
from validation.phantoms.limb import MR_TUMOUR

PET = Input("pet", "PT", required=False, same_frame_as="mr")


class OneManifest:
    """A registry of one release."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    def manifest(self, digest: str) -> Manifest:
        """Return the manifest."""
        del digest
        return self._manifest


def objections(folder: Path, fault: str, inputs: tuple[Input, ...]) -> list[str]:
    """Return what the gate says when the release is to become active in clinical mode."""
    under_test = mr_release(folder, fault, inputs=inputs)
    registry = OneManifest(under_test.manifest)
    gate = PluginGeometryGate(known_geometry(registry, under_test.releases))  # type: ignore[arg-type]
    passage = Passage(
        "s", "clinical", "threshold_mr", under_test.digest, {}, "approved", "active", "x",
        "approver", datetime.now(UTC),
    )  # fmt: skip
    return [item.code for item in gate(passage, None)]  # type: ignore[arg-type]


@pytest.mark.reg("AIA-15.4", "VAL-1")
@pytest.mark.xdist_group("mr-geometry")
@pytest.mark.parametrize("inputs", [(MR,), (CT, MR), (MR, PET)], ids=["alone", "ct", "pet"])
def test_a_release_on_mr_passes(inputs: tuple[Input, ...], tmp_path: Path) -> None:
    """A threshold on MR, alone or beside another image, finds 16 lesions where they are."""
    assert objections(tmp_path, "", inputs) == []


@pytest.mark.reg("AIA-15.4", "VAL-1")
@pytest.mark.xdist_group("mr-geometry")
@pytest.mark.parametrize("fault", list(FAULTS))
def test_copies_that_misplace_are_refused(fault: str, tmp_path: Path) -> None:
    """Mirrored, swapped or half a voxel off, the same release is refused by name."""
    assert objections(tmp_path, fault, (MR,)) == [PLUGIN_FAILED]


@pytest.mark.xdist_group("mr-geometry")
def test_a_misplacing_release_on_mr_in_use_is_stopped(tmp_path: Path) -> None:
    """A day after its activation a mirrored release is tried on MR and its plugin stopped."""
    broken = mr_release(tmp_path / "mr", "mirrored")
    test = known_geometry(OneManifest(broken.manifest), broken.releases)  # type: ignore[arg-type]
    with governed_site(tmp_path / "site", mode="clinical") as (site, clock):
        digest = add_release(site, "1.0.0")
        with site.database.transaction() as transaction:
            (present,) = transaction.deployments()
            transaction.put_deployment(replace(present, state="active"))
        assert watch_releases(site, lambda _: test(broken.digest)) == ()
        clock.forward(hours=25)
        assert watch_releases(site, lambda _: test(broken.digest)) == (digest,)
        with site.database.reading() as transaction:
            assert stop_of(transaction, present.plugin) is not None


@pytest.mark.xdist_group("mr-geometry")
@pytest.mark.parametrize("number", range(16))
def test_the_lesion_on_mr_is_where_it_was_drawn(number: int) -> None:
    """In each position, tilted or not, the voxel at the lesion's place has the lesion's signal."""
    shown = presentations()[number]
    series, place = read_back(shown, True)
    volume = series["MR"]
    index = volume.geometry.to_index(place)
    middle = (np.asarray(volume.array.shape) - 1) / 2
    assert np.abs(index - middle).max() > 1.0, "a mirror would not show"
    row, column, frame = (int(value) for value in np.rint(index)[[1, 2, 0]])
    core = volume.array[frame, row - 2 : row + 3, column - 2 : column + 3]
    assert abs(float(np.median(core)) - MR_TUMOUR) < 120.0


def test_mr_changes_nothing_of_ct_and_pet() -> None:
    """The phantom that other releases are shown is the same with MR and without, bit by bit."""
    shown = presentations()[5]
    plain, more = draw(shown), draw(shown, True)
    assert np.array_equal(plain.ct_hu, more.ct_hu)
    assert plain.pet_suv is not None
    assert more.pet_suv is not None
    assert np.array_equal(plain.pet_suv, more.pet_suv)
    assert plain.ct_grid == more.ct_grid
    assert plain.mr is None


def test_which_releases_can_be_tried() -> None:
    """Required roles have to be one CT, PET or MR each; what is optional is given if there is."""
    outputs = (Output("Segmentation", "GTVp", LESION, "SCT", "Neoplasm, Primary"),)
    second = Input("t2", "MR")
    plans = Input("plan", "RTPLAN")
    for inputs, roles in (
        ((Input("image", "MR"),), {"image": "MR"}),
        ((CT, MR), {"ct": "CT", "mr": "MR"}),
        ((CT, PET), {"ct": "CT", "pet": "PT"}),
        ((MR, replace(second, required=False)), {"mr": "MR"}),
        ((replace(second, required=False), MR), {"mr": "MR"}),
        ((MR, second), {}),
        ((CT, plans), {}),
        ((replace(CT, from_plugin="other"), MR), {}),
    ):
        manifest = replace(MANIFEST, inputs=inputs, outputs=outputs)
        assert phantom_roles(manifest) == roles
        assert outlines_the_phantom(manifest) == bool(roles)
    assert not outlines_the_phantom(replace(MANIFEST, outputs=()))
