"""The geometry test with MR: a release that takes MR is tried, copies that misplace are refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest

from adapters.phantom_roles import LESION, outlines_the_phantom, phantom_roles
from adapters.plugin_geometry import draw, presentations, read_back
from adapters.release_geometry import known_geometry, watch_releases
from adapters.rt.read_folder import scan_folder
from adapters.rt.write_phantom import write_limb
from governance.gates import Passage
from governance.known_answer import PLUGIN_FAILED, PluginGeometryGate
from governance.stops import stop_of
from plugins.host.manifest import Input, Manifest, Output, Rule
from plugins.host.routing import decide
from tests.simulators.governed_site import add_release, governed_site
from tests.simulators.limb_case import MANIFEST, SMALL
from tests.simulators.mr_releases import CT, ECHO_TIMES, FAULTS, MR, T1, T2, mr_release
from validation.phantoms.limb import MR_TUMOUR, T2_TUMOUR, limb

LESION_OUT = (Output("Segmentation", "GTVp", LESION, "SCT", "Neoplasm, Primary"),)
PET = Input("pet", "PT", required=False, same_frame_as="mr")


class OneManifest:
    """A registry of one release."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    def manifest(self, digest: str) -> Manifest:
        """Return the manifest."""
        del digest
        return self._manifest


def objections(
    folder: Path, fault: str, inputs: tuple[Input, ...], rules: tuple[Rule, ...] = ()
) -> list[str]:
    """Return what the gate says when the release is to become active in clinical mode."""
    under_test = mr_release(folder, fault, inputs=inputs, rules=rules)
    assert outlines_the_phantom(under_test.manifest)
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


@pytest.mark.reg("AIA-15.4", "VAL-1")
@pytest.mark.xdist_group("mr-geometry")
@pytest.mark.parametrize(
    ("fault", "found"),
    [("", []), ("mirrored", [PLUGIN_FAILED]), ("axis-swapped", [PLUGIN_FAILED])],
    ids=["as it is", "mirrored", "axis-swapped"],
)
def test_a_release_that_needs_two_mr_is_tried(fault: str, found: list[str], tmp_path: Path) -> None:
    """It is given T1 and T2 whatever their order: the gate passes it, and refuses its copies."""
    assert objections(tmp_path, fault, (replace(T2, same_frame_as=None), T1), ECHO_TIMES) == found


WORDS = (
    Rule("SeriesDescription", "contains", "T2", applies_to="t2"),
    Rule("SeriesDescription", "contains", "T1", applies_to="t1"),
)
AGENT = (
    Rule("ContrastBolusAgent", "present", applies_to="t1"),
    Rule("ScanOptions", "equals", "FS", applies_to="t2"),
)


@pytest.mark.parametrize("rules", [ECHO_TIMES, WORDS, AGENT], ids=["echo", "words", "agent"])
@pytest.mark.parametrize("inputs", [(T1, T2), (T2, T1), (T2,)], ids=["12", "21", "2"])
def test_the_phantom_gives_what_the_host_would_choose(
    inputs: tuple[Input, ...], rules: tuple[Rule, ...], tmp_path: Path
) -> None:
    """Written as DICOM and routed like a study, each role gets the series that the test gives."""
    inputs = tuple(replace(item, same_frame_as=None) for item in inputs)
    manifest = replace(MANIFEST, inputs=inputs, routing=rules, outputs=LESION_OUT)
    write_limb(limb(replace(SMALL, has_mr=True, has_t2=True)), tmp_path)
    (study,) = scan_folder(tmp_path).studies
    decision = decide(study, "sha256:" + "0" * 64, manifest)
    assert decision.applies
    given = phantom_roles(manifest)
    assert given == {item.role: {"t1": "MR", "t2": "T2"}[item.role] for item in inputs}
    for role, key in given.items():
        header = pydicom.dcmread(tmp_path / f"{key}-001.dcm")
        assert decision.series[role] == header.SeriesInstanceUID


def test_t2_changes_nothing_of_t1_and_shares_its_grid() -> None:
    """The series that earlier tests were made with is the same bit by bit; T2 is of its size."""
    shown = presentations()[6]
    plain, more = draw(shown, True), draw(shown, True, True)
    assert plain.mr is not None
    assert more.mr is not None
    assert more.t2 is not None
    assert np.array_equal(plain.mr, more.mr)
    assert plain.mr_grid == more.mr_grid
    assert more.t2.shape == more.mr.shape
    assert plain.t2 is None


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
    series, place = read_back(shown, True, True)
    volume = series["MR"]
    index = volume.geometry.to_index(place)
    middle = (np.asarray(volume.array.shape) - 1) / 2
    assert np.abs(index - middle).max() > 1.0, "a mirror would not show"
    row, column, frame = (int(value) for value in np.rint(index)[[1, 2, 0]])
    core = (frame, slice(row - 2, row + 3), slice(column - 2, column + 3))
    assert abs(float(np.median(volume.array[core])) - MR_TUMOUR) < 120.0
    second = series["T2"]
    assert np.array_equal(second.geometry.affine(), volume.geometry.affine())
    assert abs(float(np.median(second.array[core])) - T2_TUMOUR) < 120.0


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
    """At most one CT, one PET and two MR may be required; what is optional is given if there is."""
    second, third = Input("t2", "MR"), Input("stir", "MR")
    plans = Input("plan", "RTPLAN")
    for inputs, roles in (
        ((Input("image", "MR"),), {"image": "MR"}),
        ((CT, MR), {"ct": "CT", "mr": "MR"}),
        ((CT, PET), {"ct": "CT", "pet": "PT"}),
        ((MR, replace(second, required=False)), {"mr": "MR", "t2": "T2"}),
        ((replace(second, required=False), MR), {"mr": "MR", "t2": "T2"}),
        ((MR, second), {"mr": "MR", "t2": "T2"}),
        ((replace(third, required=False), MR, second), {"mr": "MR", "t2": "T2"}),
        ((MR, second, third), {}),
        ((CT, replace(CT, role="second")), {}),
        ((CT, plans), {}),
        ((replace(CT, from_plugin="other"), MR), {}),
    ):
        manifest = replace(MANIFEST, inputs=inputs, outputs=LESION_OUT)
        assert phantom_roles(manifest) == roles
        assert outlines_the_phantom(manifest) == bool(roles)
    assert not outlines_the_phantom(replace(MANIFEST, outputs=()))
