"""What a plugin answers: findings, uncertainty, statistics, explanation.

A finding is a typed result; adapters turn each kind into DICOM and FHIR objects.
Construction validates, so that a prediction that exists can be written.

Read next: `protocol.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from audit.errors import PluginOutputError
from plugins.host.images import Code, Geometry

EMBEDDING_LIMIT = 64


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number with its UCUM unit and coded meaning; ``interval`` is its 90 % interval."""

    code: Code
    value: float
    unit: str
    interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not np.isfinite(self.value):
            raise PluginOutputError(f"expected a finite {self.code.meaning}, found {self.value}")


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A region on the grid of a reference image.

    Parameters
    ----------
    name : TG-263 name, e.g. ``GTVp``.
    mask : bool (frames, rows, columns) on ``geometry``.
    reference_role : role of the image in the case whose grid this is.
    property_type, property_category : coded as PS3.16 CID 7151/7150 and SEG ask.
    interpreted_type : RT ROI Interpreted Type, e.g. ``GTV``.
    anatomy : coded body region, if known.
    measurements : at least volume (ml) and maximum 3D diameter (mm) of the mask.
    """

    name: str
    mask: NDArray[np.bool_]
    geometry: Geometry
    reference_role: str
    property_category: Code
    property_type: Code
    interpreted_type: str
    measurements: tuple[Measurement, ...] = ()
    anatomy: Code | None = None
    description: str = ""

    def __post_init__(self) -> None:
        if self.mask.dtype != np.bool_ or self.mask.shape != self.geometry.shape:
            raise PluginOutputError(
                f"expected a bool mask of {self.geometry.shape} for {self.name}, "
                f"found {self.mask.dtype} {self.mask.shape}"
            )


@dataclass(frozen=True, slots=True)
class Classification:
    """A calibrated probability for each of several coded classes."""

    question: Code
    probabilities: tuple[tuple[Code, float], ...]
    operating_point: str = ""

    def __post_init__(self) -> None:
        for code, probability in self.probabilities:
            if not 0.0 <= probability <= 1.0:
                raise PluginOutputError(
                    f"expected a probability for {code.meaning}, found {probability}"
                )


@dataclass(frozen=True, slots=True)
class Histogram:
    """The differential dose-volume histogram of a region (PS3.3 C.8.8.4).

    Parameters
    ----------
    bin_gy : width of a bin; bin n covers n to n + 1 times this width.
    volume_mm3 : (bins,) volume in each bin.
    least_gy, most_gy, mean_gy : of the dose in the region, not of the bins.
    """

    bin_gy: float
    volume_mm3: NDArray[np.float64]
    least_gy: float
    most_gy: float
    mean_gy: float

    def __post_init__(self) -> None:
        if self.bin_gy <= 0 or self.volume_mm3.ndim != 1 or not self.volume_mm3.sum() > 0:
            raise PluginOutputError("expected a histogram with volume in bins above zero width")


VERDICTS = ("met", "not-met", "uncertain")


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal of the protocol beside what is predicted.

    Parameters
    ----------
    measured : the metric that the goal names, as predicted.
    limit : in the unit of ``measured``.
    at_most : the value may be at most the limit; else it must reach it.
    verdict : met | not-met | uncertain (the 90 % interval holds the limit).
    source : where the goal comes from, e.g. the protocol's name.
    """

    measured: Measurement
    limit: float
    at_most: bool
    verdict: str
    source: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS or not np.isfinite(self.limit):
            raise PluginOutputError(f"expected a goal with a limit and one of {VERDICTS}")


@dataclass(frozen=True, slots=True)
class RegionDose:
    """The dose in one structure.

    Parameters
    ----------
    name : TG-263 name.
    roi_number : of the structure set that the dose was predicted for.
    interpreted_type : RT ROI Interpreted Type, e.g. ``PTV`` or ``ORGAN``.
    measurements : points of the histogram, e.g. D95%, with their intervals.
    """

    name: str
    roi_number: int
    interpreted_type: str
    histogram: Histogram
    measurements: tuple[Measurement, ...]
    goals: tuple[Goal, ...] = ()


@dataclass(frozen=True, slots=True)
class DoseGrid:
    """A dose in the patient, in Gy.

    Parameters
    ----------
    dose_gy : float32 (frames, rows, columns) on ``geometry``, finite and not negative.
    geometry : a grid parallel to that of the reference image, in its frame of reference.
    reference_role, structure_role : image and structure set of the case.
    plan_role : the plan whose geometry the dose follows, if any.
    error_gy : the error to be expected of each voxel, likewise, or None.
    """

    name: str
    dose_gy: NDArray[np.float32]
    geometry: Geometry
    reference_role: str
    structure_role: str
    regions: tuple[RegionDose, ...] = ()
    plan_role: str | None = None
    error_gy: NDArray[np.float32] | None = None
    description: str = ""

    def __post_init__(self) -> None:
        for values in (self.dose_gy, self.error_gy):
            if values is None:
                continue
            if values.dtype != np.float32 or values.shape != self.geometry.shape:
                raise PluginOutputError(
                    f"expected a float32 dose of {self.geometry.shape}, "
                    f"found {values.dtype} {values.shape}"
                )
            if not np.all(np.isfinite(values)) or values.min() < 0:
                raise PluginOutputError("expected doses of 0 Gy or more, found another number")
        if not self.dose_gy.any():
            raise PluginOutputError("expected a dose above zero somewhere, found none")


Finding = Segmentation | Measurement | Classification | DoseGrid


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """How sure the plugin is.

    Parameters
    ----------
    score : case-level value of ``measure`` (e.g. predicted DSC), finite.
    interval : 90 % interval of the same measure.
    voxels : float32 (frames, rows, columns) in [0, 1] on ``geometry``, or None.
    abstain : the plugin withholds its findings; ``reasons`` say why, as stable codes.
    """

    measure: str
    score: float
    interval: tuple[float, float]
    voxels: NDArray[np.float32] | None = None
    geometry: Geometry | None = None
    abstain: bool = False
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not np.isfinite(self.score) or not np.all(np.isfinite(self.interval)):
            raise PluginOutputError("expected a finite uncertainty, found NaN or infinity")
        if self.voxels is not None and not np.all(np.isfinite(self.voxels)):
            raise PluginOutputError("expected a finite uncertainty map, found NaN or infinity")


@dataclass(frozen=True, slots=True)
class CaseStatistics:
    """What monitoring later reads instead of images (SEAMS: Host protocol)."""

    acquisition: Mapping[str, str | float] = field(default_factory=dict)
    intensity: Mapping[str, float] = field(default_factory=dict)
    embedding: tuple[float, ...] = ()
    geometry: Mapping[str, float] = field(default_factory=dict)
    quality_flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.embedding) > EMBEDDING_LIMIT:
            raise PluginOutputError(
                f"expected at most {EMBEDDING_LIMIT} embedding values, found {len(self.embedding)}"
            )


@dataclass(frozen=True, slots=True)
class Prediction:
    """A plugin's answer to one case."""

    findings: tuple[Finding, ...]
    uncertainty: Uncertainty
    statistics: CaseStatistics = field(default_factory=CaseStatistics)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What made the finding what it is, with its measured faithfulness.

    Parameters
    ----------
    method : e.g. ``exact-shapley+integrated-gradients``.
    target : which scalar of the finding is explained, in words with unit.
    contributions : (input channel group, share of ``target``) pairs.
    attribution : float32 (frames, rows, columns) on ``geometry``, or None.
    faithfulness : measured numbers, e.g. ``deletion_auc``, ``deletion_auc_random``,
        ``randomisation_rank_correlation``.
    seconds : time it took.
    """

    method: str
    target: str
    contributions: tuple[tuple[str, float], ...]
    attribution: NDArray[np.float32] | None
    geometry: Geometry | None
    faithfulness: Mapping[str, float]
    seconds: float = 0.0
