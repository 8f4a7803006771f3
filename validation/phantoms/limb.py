"""A synthetic limb with a sarcoma: CT, PET and MR as arrays, the tumour as an ellipsoid.

The thigh is an ellipse of muscle inside a rim of fat, with a femur (cortical ring, marrow),
vessels and a table; nothing in it is mirror-symmetric, so that a mirrored or transposed
result cannot pass.  The tumour is an analytic ellipsoid, tilted in the axial plane, at a
sub-voxel position: volume and maximum diameter follow from its semi-axes.  PET is the
same anatomy seen through a point-spread function on its own, coarser grid.  MR is a
T1-weighted spin echo after contrast, on its own grid again, and T2-weighted with fat suppression
on that grid: arbitrary units, the table does not show, the coil's sensitivity falls across the
field, noise is that of a magnitude image.

Arrays are (frames, rows, columns), coordinates LPS mm; frames run from foot to head.
Numbers come from seeded generators: the same parameters give the same arrays, and CT and PET
are the same with MR and without.

Sources: CT numbers of fat, muscle and bone as in ICRU Report 46 tissues at 120 kVp,
rounded; FDG uptake of high-grade sarcoma, SUV 6 to 10, muscle 0.7 to 1.0 (public patients
of the soft-tissue-sarcoma collection, TCIA, show the same ranges); PET resolution 6 mm
FWHM (NEMA NU 2).  T1 at 1.5 T: fat brightest, muscle in the middle, cortex and flowing blood
dark; T2 with suppressed fat: only what holds much water is bright (Bernstein, King, Zhou,
Handbook of MRI Pulse Sequences, 14.1, 16.4, 3.3); magnitude noise after
Gudbjartsson and Patz, Magn Reson Med 1995; 34: 910-914.
Read next: `adapters/rt/write_phantom.py`, which writes it as DICOM.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

AIR_HU, FAT_HU, MUSCLE_HU, TUMOUR_HU = -1000.0, -100.0, 52.0, 46.0
CORTEX_HU, MARROW_HU, VESSEL_HU, TABLE_HU = 900.0, -40.0, 70.0, -250.0
MR_AIR, MR_FAT, MR_MUSCLE, MR_TUMOUR = 0.0, 1000.0, 330.0, 600.0
MR_CORTEX, MR_MARROW, MR_VESSEL = 25.0, 880.0, 60.0
T2_FAT, T2_MUSCLE, T2_TUMOUR = 140.0, 210.0, 820.0
T2_CORTEX, T2_MARROW, T2_VESSEL = 25.0, 150.0, 60.0
MR_SHADING = 0.06
"""Part by which the coil's sensitivity falls over 100 mm, towards the midline and the foot."""
PET_FWHM_MM = 6.0
_FWHM_PER_SIGMA = 2.3548200450309493  # 2 sqrt(2 ln 2)


@dataclass(frozen=True, slots=True)
class Grid:
    """One uniform axial grid: shape (frames, rows, columns), spacing likewise, and the LPS
    millimetres (x, y, z) of the centre of voxel [0, 0, 0]."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]

    def coordinates_mm(self) -> tuple[NDArray[np.float64], ...]:
        """Return z (frames, 1, 1), y (1, rows, 1) and x (1, 1, columns) of the centres."""
        frames, rows, columns = (
            np.asarray(start + step * np.arange(size), dtype=np.float64)
            for start, step, size in zip(
                self.origin_mm[::-1], self.spacing_mm, self.shape, strict=True
            )
        )
        return frames[:, None, None], rows[None, :, None], columns[None, None, :]


@dataclass(frozen=True, slots=True)
class LimbParameters:
    """What the phantom looks like.

    Parameters
    ----------
    laterality : L or R: which leg; the right one is the mirror of the left.
    centre_mm : LPS of the tumour's centre in the patient.
    semi_axes_mm : of the ellipsoid before tilting: (x, y, z).
    tilt_deg : rotation about z, from x towards y.
    margin_mm : field of view around the tumour, as (z, y, x).
    has_pet : without it the patient has a CT only.
    tumour_suv : mean uptake of the viable tumour.
    noise_hu : standard deviation of the CT noise.
    has_mr : with it the patient has an MR besides; nothing else changes.
    has_t2 : with it an MR patient has the T2-weighted series besides; nothing else changes.
    noise_mr : standard deviation of each channel of an MR's noise, in its arbitrary units.
    """

    seed: int = 0
    laterality: str = "L"
    centre_mm: tuple[float, float, float] = (131.3, 12.4, -402.7)
    semi_axes_mm: tuple[float, float, float] = (33.0, 26.0, 52.0)
    tilt_deg: float = 25.0
    margin_mm: tuple[float, float, float] = (50.0, 50.0, 50.0)
    has_pet: bool = True
    tumour_suv: float = 8.0
    noise_hu: float = 12.0
    ct_spacing_mm: tuple[float, float, float] = (3.0, 1.0, 1.0)
    pet_spacing_mm: tuple[float, float, float] = (3.27, 4.6875, 4.6875)
    has_mr: bool = False
    mr_spacing_mm: tuple[float, float, float] = (5.5, 1.5625, 1.5625)
    noise_mr: float = 14.0
    has_t2: bool = False


@dataclass(frozen=True, slots=True)
class LimbPhantom:
    """The patient as arrays, with the truth.

    Parameters
    ----------
    ct_hu, pet_suv, mr, t2 : float32 (frames, rows, columns); values and grid of PET are None
        without PET, those of MR without MR; ``t2`` lies on the grid of ``mr``.
    tumour : bool on the CT grid: voxels whose centre lies in the ellipsoid.
    volume_ml, maximum_diameter_mm : of the analytic ellipsoid, not of the mask.
    """

    parameters: LimbParameters
    ct_hu: NDArray[np.float32]
    ct_grid: Grid
    pet_suv: NDArray[np.float32] | None
    pet_grid: Grid | None
    tumour: NDArray[np.bool_]
    volume_ml: float
    maximum_diameter_mm: float
    mr: NDArray[np.float32] | None = None
    mr_grid: Grid | None = None
    t2: NDArray[np.float32] | None = None


def limb(parameters: LimbParameters | None = None) -> LimbPhantom:
    """Return the phantom of these parameters, the standard one by default."""
    chosen = parameters or LimbParameters()
    generator = np.random.default_rng(chosen.seed)
    ct_grid = _grid(chosen, chosen.ct_spacing_mm, (0.37, 0.21, 0.43))
    ct = _ct(chosen, ct_grid, generator)
    pet_grid = pet = None
    if chosen.has_pet:
        pet_grid = _grid(chosen, chosen.pet_spacing_mm, (0.11, 0.62, 0.29))
        pet = _pet(chosen, pet_grid, generator)
    mr_grid = mr = t2 = None
    if chosen.has_mr:
        mr_grid = _grid(chosen, chosen.mr_spacing_mm, (0.71, 0.34, 0.83))
        mr = _mr(chosen, mr_grid, _T1, np.random.default_rng([chosen.seed, 4258]))
        if chosen.has_t2:
            t2 = _mr(chosen, mr_grid, _T2, np.random.default_rng([chosen.seed, 4259]))
    return LimbPhantom(
        parameters=chosen,
        ct_hu=ct,
        ct_grid=ct_grid,
        pet_suv=pet,
        pet_grid=pet_grid,
        tumour=np.asarray(_tumour_level(chosen, ct_grid) <= 1.0),
        volume_ml=4.0 / 3.0 * np.pi * float(np.prod(chosen.semi_axes_mm)) / 1000.0,
        maximum_diameter_mm=2.0 * max(chosen.semi_axes_mm),
        mr=mr,
        mr_grid=mr_grid,
        t2=t2,
    )


def vary(seed: int, *, has_pet: bool = True) -> LimbParameters:
    """Return parameters of another patient: size, place, side, tilt and uptake by ``seed``."""
    generator = np.random.default_rng([seed, 51])
    standard = LimbParameters()
    side = "L" if generator.random() < 0.5 else "R"
    x, y, z = (value + float(generator.uniform(-8, 8)) for value in standard.centre_mm)
    axes = [value * float(generator.uniform(0.9, 1.08)) for value in standard.semi_axes_mm]
    return replace(
        standard,
        seed=seed,
        laterality=side,
        centre_mm=(x if side == "L" else -x, y, z),
        semi_axes_mm=(axes[0], axes[1], axes[2]),
        tilt_deg=float(generator.uniform(-40, 40)),
        has_pet=has_pet,
        tumour_suv=float(generator.uniform(6.5, 9.5)),
    )


def _grid(
    parameters: LimbParameters,
    spacing_mm: tuple[float, float, float],
    offset: tuple[float, float, float],
) -> Grid:
    """Return the grid that covers the tumour and its margin, shifted by part of a voxel."""
    reach = _half_extent_mm(parameters)[::-1] + np.asarray(parameters.margin_mm)
    spacing = np.asarray(spacing_mm)
    counts = np.ceil(2 * reach / spacing).astype(int) + 1
    start = np.asarray(parameters.centre_mm[::-1]) - (counts - 1) / 2 * spacing
    start += (np.asarray(offset) - 0.5) * spacing
    shape = (int(counts[0]), int(counts[1]), int(counts[2]))
    rounded = [round(float(value), 4) for value in start[::-1]]
    return Grid(shape, spacing_mm, (rounded[0], rounded[1], rounded[2]))


def _half_extent_mm(parameters: LimbParameters) -> NDArray[np.float64]:
    """Return half the size (x, y, z) of the tilted ellipsoid's bounding box."""
    a, b, c = parameters.semi_axes_mm
    tilt = np.deg2rad(parameters.tilt_deg)
    return np.asarray(
        [
            np.hypot(a * np.cos(tilt), b * np.sin(tilt)),
            np.hypot(a * np.sin(tilt), b * np.cos(tilt)),
            c,
        ]
    )


def _tumour_level(parameters: LimbParameters, grid: Grid) -> NDArray[np.float64]:
    """Return the ellipsoid's quadratic form: 1 on its surface, below 1 inside."""
    z, y, x = grid.coordinates_mm()
    tilt = np.deg2rad(parameters.tilt_deg)
    dx, dy, dz = (
        place - centre for place, centre in zip((x, y, z), parameters.centre_mm, strict=True)
    )
    along = dx * np.cos(tilt) + dy * np.sin(tilt)
    across = -dx * np.sin(tilt) + dy * np.cos(tilt)
    a, b, c = parameters.semi_axes_mm
    return np.asarray((along / a) ** 2 + (across / b) ** 2 + (dz / c) ** 2)


@dataclass(frozen=True, slots=True)
class _Anatomy:
    """Regions of the limb on one grid, bool (frames, rows, columns)."""

    limb: NDArray[np.bool_]
    muscle: NDArray[np.bool_]
    bone: NDArray[np.bool_]
    marrow: NDArray[np.bool_]
    vessel: NDArray[np.bool_]
    table: NDArray[np.bool_]


def _anatomy(parameters: LimbParameters, grid: Grid) -> _Anatomy:
    """Return the limb around the tumour; the thigh tapers towards the knee.

    Places are given for a left leg, relative to the tumour's centre, and mirrored in x for
    a right one.
    """
    z, y, x = grid.coordinates_mm()
    cx, cy, cz = parameters.centre_mm
    side = 1.0 if parameters.laterality == "L" else -1.0
    across, depth, height = side * (x - cx), y - cy, z - cz
    taper = 1.0 + 0.0012 * height

    def ellipse(
        centre: tuple[float, float], radii: tuple[float, float], lean: float = 0.0
    ) -> NDArray[np.bool_]:
        right = across - centre[0] - lean * height
        back = depth - centre[1]
        return np.asarray((right / radii[0] / taper) ** 2 + (back / radii[1] / taper) ** 2 <= 1.0)

    return _Anatomy(
        limb=ellipse((-22.0, 6.0), (88.0, 82.0)),
        muscle=ellipse((-25.0, 3.0), (76.0, 69.0)),
        bone=ellipse((-48.0, -12.0), (15.0, 13.5), lean=0.06),
        marrow=ellipse((-48.0, -12.0), (8.5, 7.5), lean=0.06),
        vessel=ellipse((-78.0, 22.0), (5.0, 4.0), lean=-0.05),
        table=np.broadcast_to((depth > 92.0) & (depth < 104.0), grid.shape),
    )


def _texture(generator: np.random.Generator, grid: Grid, smooth_mm: float) -> NDArray[np.float64]:
    """Return smooth noise of unit standard deviation with the given length."""
    sigma = [smooth_mm / step for step in grid.spacing_mm]
    field = ndimage.gaussian_filter(generator.standard_normal(grid.shape), sigma)
    return np.asarray(field / max(float(field.std()), 1e-12))


def _ct(
    parameters: LimbParameters, grid: Grid, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return the CT in HU: tissues, a slightly darker and mottled tumour, blur and noise."""
    anatomy = _anatomy(parameters, grid)
    level = _tumour_level(parameters, grid)
    muscle_texture = _texture(generator, grid, 4.0)
    hu = np.full(grid.shape, AIR_HU)
    hu[anatomy.table] = TABLE_HU
    hu[anatomy.limb] = FAT_HU
    hu[anatomy.muscle] = (MUSCLE_HU + 6.0 * muscle_texture)[anatomy.muscle]
    hu[anatomy.vessel] = VESSEL_HU
    hu[anatomy.bone] = CORTEX_HU
    hu[anatomy.marrow] = MARROW_HU
    tumour = level <= 1.0
    mottled = TUMOUR_HU + 9.0 * _texture(generator, grid, 7.0) - 14.0 * (level < 0.12)
    hu[tumour] = mottled[tumour]
    hu = ndimage.gaussian_filter(hu, [0.25, 0.6, 0.6])
    hu += parameters.noise_hu * generator.standard_normal(grid.shape)
    return np.asarray(np.clip(hu, -1024.0, 3071.0), dtype=np.float32)


def _pet(
    parameters: LimbParameters, grid: Grid, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return the PET in SUV: uptake with a cooler core, seen through the scanner's PSF."""
    anatomy = _anatomy(parameters, grid)
    level = _tumour_level(parameters, grid)
    uptake = np.where(anatomy.limb, 0.3, 0.02)
    uptake[anatomy.muscle] = (0.8 + 0.06 * _texture(generator, grid, 8.0))[anatomy.muscle]
    uptake[anatomy.vessel] = 1.6
    uptake[anatomy.bone] = 0.45
    uptake[anatomy.marrow] = 1.0
    viable = parameters.tumour_suv * (1.0 + 0.12 * _texture(generator, grid, 9.0))
    tumour = level <= 1.0
    uptake[tumour] = np.where(level < 0.12, 0.55 * viable, viable)[tumour]
    sigma = [PET_FWHM_MM / _FWHM_PER_SIGMA / step for step in grid.spacing_mm]
    seen = ndimage.gaussian_filter(uptake, sigma)
    seen += 0.05 * np.sqrt(np.maximum(seen, 0.05)) * generator.standard_normal(grid.shape)
    return np.asarray(np.maximum(seen, 0.0), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Signals:
    """What tissues give in one weighting; ``core`` is what the tumour's middle gives more."""

    fat: float
    muscle: float
    tumour: float
    core: float
    cortex: float
    marrow: float
    vessel: float


_T1 = _Signals(MR_FAT, MR_MUSCLE, MR_TUMOUR, -60.0, MR_CORTEX, MR_MARROW, MR_VESSEL)
"""The viable part takes up contrast, the core less."""
_T2 = _Signals(T2_FAT, T2_MUSCLE, T2_TUMOUR, 60.0, T2_CORTEX, T2_MARROW, T2_VESSEL)
"""The core holds most water."""


def _mr(
    parameters: LimbParameters, grid: Grid, given: _Signals, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return an MR in arbitrary units."""
    anatomy = _anatomy(parameters, grid)
    level = _tumour_level(parameters, grid)
    signal = np.full(grid.shape, MR_AIR)
    signal[anatomy.limb] = given.fat
    signal[anatomy.muscle] = (given.muscle + 10.0 * _texture(generator, grid, 5.0))[anatomy.muscle]
    signal[anatomy.vessel] = given.vessel
    signal[anatomy.bone] = given.cortex
    signal[anatomy.marrow] = given.marrow
    tumour = level <= 1.0
    mottled = given.tumour + 20.0 * _texture(generator, grid, 8.0) + given.core * (level < 0.12)
    signal[tumour] = mottled[tumour]
    signal = ndimage.gaussian_filter(signal, [0.25, 0.5, 0.5])
    z, _, x = grid.coordinates_mm()
    side = 1.0 if parameters.laterality == "L" else -1.0
    from_centre = side * (x - parameters.centre_mm[0]) + (z - parameters.centre_mm[2])
    signal *= 1.0 + MR_SHADING * from_centre / 100.0
    real, imaginary = (
        parameters.noise_mr * generator.standard_normal(grid.shape) for _ in range(2)
    )
    return np.asarray(np.hypot(signal + real, imaginary), dtype=np.float32)
