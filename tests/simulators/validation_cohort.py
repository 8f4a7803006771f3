"""A small cohort of limb phantoms on disk, and the contouring release unpacked beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from adapters.release_builder import assemble, newest_published
from adapters.validation.judging import UnderTest
from governance.release import digest_of, folder_name, open_release, unpack
from plugins.host import manifest as manifests
from plugins.host.images import Geometry, Volume
from validation.cohort.arrays import encode_mask, encode_volume
from validation.cohort.linkage import Linkage, public_linkage
from validation.cohort.manifest import (
    AXES,
    LETTERS,
    Cohort,
    CohortCase,
    CohortFacts,
    FileEntry,
    Provenance,
    Reference,
)
from validation.phantoms.limb import Grid, LimbPhantom, limb, vary

AXIAL = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
LINKAGE: Linkage = public_linkage("phantoms")


def geometry_of(grid: Grid) -> Geometry:
    """Return a phantom's grid as the hall's geometry."""
    return Geometry(grid.shape, grid.spacing_mm, grid.origin_mm, AXIAL, "frame-1")


def volume_of(array: object, grid: Grid, modality: str) -> Volume:
    """Return an array of a phantom as a volume."""
    uids = tuple(f"1.2.{modality == 'CT':d}.{i}" for i in range(grid.shape[0]))
    units = "[hnsf'U]" if modality == "CT" else "g/ml"
    return Volume(array, geometry_of(grid), modality, units, "1", modality, "1", uids)  # type: ignore[arg-type]


def phantom_cohort(folder: Path, count: int = 2) -> Cohort:
    """Write ``count`` phantoms as a cohort into a folder and return its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    return Cohort(
        name="phantoms",
        version="1",
        purpose="test of the harness",
        reference_standard="analytic",
        legal_basis="synthetic",
        de_identification="synthetic",
        data_governance=dict.fromkeys(LETTERS, "synthetic"),
        linkage_key_id=LINKAGE.key_id,
        sites={"lab": "simulator"},
        splits={"test": "all"},
        strata=(),
        target=dict.fromkeys(AXES, ("unknown",)),
        cases=tuple(_case(folder, number) for number in range(count)),
    )


def _case(folder: Path, number: int) -> CohortCase:
    coarse = replace(vary(number + 1), ct_spacing_mm=(4.0, 2.0, 2.0), margin_mm=(30.0, 30.0, 30.0))
    phantom = limb(coarse)
    name = f"case-{number}"
    files = {
        role: _file(folder, f"{name}/{role}.npz", content)
        for role, content in _contents(phantom).items()
    }
    reference = files.pop("reference")
    made = Provenance("analytic phantom", "", "ellipsoid", "analytic")
    return CohortCase(
        name,
        LINKAGE.pseudonym(name),
        "lab",
        CohortFacts(age_years=40 + number, sex="F", body_part="THIGH"),
        files,
        Reference(reference, made),
    )


def _contents(phantom: LimbPhantom) -> dict[str, bytes]:
    assert phantom.pet_suv is not None
    assert phantom.pet_grid is not None
    return {
        "ct": encode_volume(volume_of(phantom.ct_hu, phantom.ct_grid, "CT")),
        "pet": encode_volume(volume_of(phantom.pet_suv, phantom.pet_grid, "PT")),
        "reference": encode_mask(phantom.tumour, geometry_of(phantom.ct_grid)),
    }


def _file(folder: Path, path: str, content: bytes) -> FileEntry:
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return FileEntry(path, digest_of(content), len(content))


def contouring_under_test(folder: Path) -> UnderTest:
    """Return the newest published contouring release, unpacked into a folder."""
    bundle = assemble("contouring", newest_published("contouring"), folder / "bundle")
    release = open_release(bundle)
    unpack(release, folder / "releases" / folder_name(release.digest))
    return UnderTest(
        manifests.decode(release.manifest),
        release.digest,
        tuple(release.manifest["training"]),
        folder / "releases",
    )
