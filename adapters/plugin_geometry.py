"""The geometry known-answer test through a plugin: does its release put a lesion where it is?

    1  phantoms are drawn: a point-symmetric lesion at a random sub-voxel place, in anatomy that
       no mirror image resembles, in every handedness equally often
    2  each is written as DICOM, in one of eight patient positions, in some cases tilted, with
       unequal voxels, with its files in reversed order, or with another field of view: as CT
       and PET, and as one MR or two for a release that takes MR
    3  it is read as every study is, and the release answers in its worker process
    4  the signed distance of the answer's centroid to the known place is taken in voxels, along
       the axes of the image and along those of the patient

A network errs with the anatomy, so its error changes sign with the handedness and drops out of
the mean; an error of geometry does not.

Source: SEAMS, Validation (signed mean centroid error at most 0.25 voxel on every axis).

Read next: `governance/known_answer.py` (the limits).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from io import BytesIO
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from adapters.phantom_roles import phantom_roles
from adapters.rt.equipment import encode
from adapters.rt.phantom_sequences import SEQUENCES, T1, T2
from adapters.rt.read_series import read_series
from adapters.rt.write_frames import decimal
from adapters.rt.write_phantom import PhantomStudy, encode_limb
from governance.known_answer import PlacedAnswer
from plugins.host.case import Case, Subject
from plugins.host.findings import Segmentation
from plugins.host.images import Volume
from plugins.host.manifest import Manifest
from plugins.host.ports import RunRequest, Workers
from validation.phantoms.limb import Grid, LimbParameters, LimbPhantom, limb, vary

PAIRS = (("HFS", "HFP"), ("FFDR", "FFDL"), ("FFS", "FFP"), ("HFDR", "HFDL"))
"""Every patient position of PS3.3 C.7.3.1.1.2 once, each beside the one that turns it round."""
HANDEDNESS = tuple(product((False, True), repeat=2))
"""Whether the anatomy is mirrored along y, and along z; x is the laterality."""
_OPENED_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Presentation:
    """How a phantom is shown.

    Parameters
    ----------
    number : of the phantom; lesion, place, laterality and handedness follow from it.
    tilt_deg : turn of the scanned grid about the patient's x axis.
    spacing_mm, mr_spacing_mm : of the CT and the MR (frames, rows, columns).
    margin_mm : field of view around the lesion (z, y, x), uneven so that a mirror shows.
    """

    number: int
    position: str = "HFS"
    tilt_deg: float = 0.0
    reversed_order: bool = False
    spacing_mm: tuple[float, float, float] = (5.0, 2.4, 2.4)
    margin_mm: tuple[float, float, float] = (40.0, 40.0, 40.0)
    mr_spacing_mm: tuple[float, float, float] = (6.0, 1.8, 1.8)


def presentations(count: int = 16) -> tuple[Presentation, ...]:
    """Return ``count`` presentations: phantoms in pairs of opposite positions.

    The two of a pair show one phantom with rows and columns running against each other: what
    the network makes of it cancels along the axes of the image.  Eight phantoms are every
    handedness once.  Tilt, voxel shape, order of files and field of view change with the pair.
    """
    spacings = ((5.0, 2.4, 2.4), (4.0, 2.4, 1.8), (6.0, 2.0, 2.4))
    mr_spacings = ((6.0, 1.8, 1.8), (5.0, 1.6, 2.1))
    margins = ((40.0, 40.0, 40.0), (50.0, 30.0, 45.0))
    return tuple(
        Presentation(
            number,
            position,
            tilt_deg=(0.0, 6.0, 0.0, -6.0)[number % 4],
            reversed_order=number % 3 == 1,
            spacing_mm=spacings[number % len(spacings)],
            margin_mm=margins[(number // 2) % len(margins)],
            mr_spacing_mm=mr_spacings[number % len(mr_spacings)],
        )
        for number in range(count // 2)
        for position in PAIRS[number % len(PAIRS)]
    )


def examine_plugin(
    manifest: Manifest,
    release_digest: str,
    workers: Workers,
    shown: Sequence[Presentation],
) -> tuple[PlacedAnswer, ...]:
    """Return where the release put the lesion of each presentation.

    Raises
    ------
    PluginError, ReleaseError, RefusalError : the release does not answer.
    """
    found = []
    roles = phantom_roles(manifest)
    used = set(roles.values())
    for item in shown:
        series, place_mm = read_back(item, not used.isdisjoint(SEQUENCES), T2 in used)
        images = {role: series[key] for role, key in roles.items()}
        case = Case("1.2.3", Subject(age_years=56.0, sex="O"), images, body_part="EXTREMITY")
        request = _request(manifest, release_digest, case)
        answer = workers.run(request, case, explain=False)
        regions = [r for r in answer.prediction.findings if isinstance(r, Segmentation)]
        found.append(_placed(item, case, regions, place_mm))
    return tuple(found)


@lru_cache(maxsize=16)
def read_back(
    shown: Presentation, with_mr: bool = False, with_t2: bool = False
) -> tuple[dict[str, Volume], NDArray[np.float64]]:
    """Return a phantom's series by key as they are read after they were written, and the LPS mm
    of its lesion; ``with_t2`` needs ``with_mr``.

    The last sixteen are kept (a megabyte each at most): every release is shown the same ones.
    """
    phantom = draw(shown, with_mr, with_t2)
    study = PhantomStudy(shown.position, name=f"geometry-{shown.number}", patient_id="KNOWN-ANSWER")
    files = encode_limb(phantom, study)
    series: dict[str, Volume] = {}
    for key in ("CT", "PT", *((T1,) if with_mr else ()), *((T2,) if with_t2 else ())):
        raw = [content for name, content in files.items() if name.startswith(f"{key}-")]
        turned = [_tilted(content, shown.tilt_deg) for content in raw]
        series[key], _ = read_series(
            tuple(turned[::-1] if shown.reversed_order else turned),
            "MR" if key in SEQUENCES else key,
        )
    place = _turn(shown.tilt_deg) @ np.asarray(phantom.parameters.centre_mm)
    return series, place


def draw(shown: Presentation, with_mr: bool = False, with_t2: bool = False) -> LimbPhantom:
    """Return the phantom of a presentation in its handedness."""
    generator = np.random.default_rng([shown.number, 1895])
    sides = "LR"[(shown.number // len(HANDEDNESS)) % 2]
    standard = vary(shown.number)
    x, y, z = standard.centre_mm
    centre = (abs(x) if sides == "L" else -abs(x), y, z)
    moved = [value + float(generator.uniform(-3, 3)) for value in centre]
    parameters: LimbParameters = replace(
        standard,
        laterality=sides,
        centre_mm=(moved[0], moved[1], moved[2]),
        ct_spacing_mm=shown.spacing_mm,
        margin_mm=shown.margin_mm,
        has_mr=with_mr,
        has_t2=with_t2,
        mr_spacing_mm=shown.mr_spacing_mm,
    )
    phantom = limb(parameters)
    mirror_y, mirror_z = HANDEDNESS[shown.number % len(HANDEDNESS)]
    for axis, wanted in ((1, mirror_y), (0, mirror_z)):
        if wanted:
            phantom = _mirrored(phantom, axis)
    return _cut(phantom, generator)


def _mirrored(phantom: LimbPhantom, axis: int) -> LimbPhantom:
    """Return the phantom mirrored at the plane through the lesion's centre along an array axis."""
    centre = phantom.parameters.centre_mm[2 - axis]

    def grid(known: Grid) -> Grid:
        last = known.origin_mm[2 - axis] + (known.shape[axis] - 1) * known.spacing_mm[axis]
        origin = list(known.origin_mm)
        origin[2 - axis] = round(2 * centre - last, 4)
        return replace(known, origin_mm=(origin[0], origin[1], origin[2]))

    def turned(values: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        return None if values is None else np.flip(values, axis)

    return replace(
        phantom,
        ct_hu=np.flip(phantom.ct_hu, axis),
        ct_grid=grid(phantom.ct_grid),
        pet_suv=turned(phantom.pet_suv),
        pet_grid=phantom.pet_grid and grid(phantom.pet_grid),
        tumour=np.flip(phantom.tumour, axis),
        mr=turned(phantom.mr),
        mr_grid=phantom.mr_grid and grid(phantom.mr_grid),
        t2=turned(phantom.t2),
    )


def _cut(phantom: LimbPhantom, generator: np.random.Generator) -> LimbPhantom:
    """Cut one side of CT and MR on every axis by 12 to 20 mm: the lesion is off their middles."""
    box, ct_grid = _box(phantom.ct_grid, generator)
    ct = np.ascontiguousarray(phantom.ct_hu[box])
    phantom = replace(phantom, ct_hu=ct, ct_grid=ct_grid, tumour=phantom.tumour[box])
    if phantom.mr is None or phantom.mr_grid is None:
        return phantom
    box, mr_grid = _box(phantom.mr_grid, generator)
    t2 = None if phantom.t2 is None else np.ascontiguousarray(phantom.t2[box])
    return replace(phantom, mr=np.ascontiguousarray(phantom.mr[box]), mr_grid=mr_grid, t2=t2)


def _box(grid: Grid, generator: np.random.Generator) -> tuple[tuple[slice, ...], Grid]:
    """Return what is left of a grid that loses one side on every axis, and that as a grid."""
    slices, origin = [], list(grid.origin_mm)
    for axis in range(3):
        step, size = grid.spacing_mm[axis], grid.shape[axis]
        count = round(float(generator.uniform(12.0, 20.0)) / step)
        low = bool(generator.integers(2))
        slices.append(slice(count, size) if low else slice(0, size - count))
        origin[2 - axis] += count * step if low else 0.0
    shape = [item.stop - item.start for item in slices]
    left = replace(
        grid,
        shape=(shape[0], shape[1], shape[2]),
        origin_mm=(origin[0], origin[1], origin[2]),
    )
    return tuple(slices), left


def _turn(degrees: float) -> NDArray[np.float64]:
    """Return the rotation about the patient's x axis."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _tilted(content: bytes, degrees: float) -> bytes:
    """Return an instance whose plane was turned with the patient (PS3.3 C.7.6.2.1.1)."""
    if degrees == 0.0:
        return content
    dataset = dcmread(BytesIO(content))
    turn = _turn(degrees)
    row, column = np.asarray(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3)
    place = np.asarray(dataset.ImagePositionPatient, dtype=float)
    dataset.ImageOrientationPatient = [decimal(v) for v in (*(turn @ row), *(turn @ column))]
    dataset.ImagePositionPatient = [decimal(float(v)) for v in turn @ place]
    return encode(dataset)


def _placed(
    shown: Presentation,
    case: Case,
    regions: Sequence[Segmentation],
    place_mm: NDArray[np.float64],
) -> PlacedAnswer:
    """Return the signed distance of the region to the lesion; none where it is not found."""
    if not regions or not regions[0].mask.any():
        return PlacedAnswer(shown.position, None, None)
    geometry = regions[0].geometry
    centroid = np.argwhere(regions[0].mask).mean(axis=0)
    image = centroid - geometry.to_index(place_mm)
    along = np.asarray(geometry.axes).T * np.asarray(geometry.spacing_mm)
    step_mm = np.abs(along).max(axis=1)  # voxel size along the patient axis nearest to it
    patient = (geometry.to_patient(centroid) - place_mm) / step_mm
    del case
    return PlacedAnswer(
        shown.position,
        (float(image[0]), float(image[1]), float(image[2])),
        (float(patient[0]), float(patient[1]), float(patient[2])),
    )


def _request(manifest: Manifest, release_digest: str, case: Case) -> RunRequest:
    return RunRequest(
        run_id="0" * 32,
        study_instance_uid=case.study_instance_uid,
        plugin=manifest.plugin,
        plugin_version=manifest.version,
        release_digest=release_digest,
        mode="research",
        series={role: item.series_instance_uid for role, item in case.images.items()},
        sop_instance_uids=case.sop_instance_uids(),
        opened_at=_OPENED_AT,
        parameters=dict(manifest.parameters),
        trigger="manual",
    )
