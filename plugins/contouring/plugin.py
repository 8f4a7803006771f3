"""The contouring plugin: gross tumour volume of a sarcoma of limb or pelvis.

Read the manifest first: it is the intended purpose in checkable terms.  `predict` brings
the case into the network's frame, lets the ensemble vote, and brings mask and uncertainty
back to the voxels of the CT.  Codes: PS3.16 CID 7150, 7151; name: AAPM TG-263.

Read next: `models/contouring/contour.py` (the same path that cross-validation measured),
`explain.py`, `card.md`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from audit.errors import ConfigurationError, RefusalError
from models.contouring.field import FIELD_TOLERANCE, crop_around, exceeds_trained_field
from models.contouring.inputs import TRAINED_FIELD_OF_VIEW_MM, Grid
from models.contouring.postprocess import max_diameter_mm, volume_ml
from plugins.contouring.orientation import Frame, frame_of, lay
from plugins.contouring.statistics import case_statistics
from plugins.host.case import Case
from plugins.host.findings import Explanation, Measurement, Prediction, Segmentation, Uncertainty
from plugins.host.images import Code, Volume
from plugins.host.manifest import Envelope, Input, Limits, Manifest, Output, Rule
from plugins.host.protocol import Artifact, Parameters

if TYPE_CHECKING:
    from models.contouring.contour import Contour
    from models.contouring.ensemble import Ensemble
    from models.contouring.uncertainty import Calibration, Judgement

VOLUME = Code("118565006", "SCT", "Volume")
DIAMETER = Code("L0JK", "IBSI", "Maximum 3D Diameter")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
NEOPLASM = Code("86049000", "SCT", "Neoplasm, Primary")

BODY_PARTS = (
    *("EXTREMITY", "LOWERLIMB", "UPPERLIMB", "PELVISLOWEXTREMT", "LOWERLEG", "THIGH", "FEMUR"),
    *("KNEE", "PATELLA", "POPLITEALFOSSA", "CALF", "TIBIA", "FIBULA", "TIBIAFIBULA", "ANKLE"),
    *("CALCANEUS", "SESAMOID", "FOOT", "TOE", "HIP", "BUTTOCK", "INGUINAL", "LINGUINAL"),
    *("RINGUINAL", "PELVIS", "ILIUM", "SIJOINT", "SSPINE", "COCCYX", "UPPERARM", "HUMERUS"),
    *("ELBOW", "FOREARM", "RADIUS", "ULNA", "RADIUSULNA", "WRIST", "HAND", "FINGER", "THUMB"),
    *("AXILLA", "SHOULDER", "SCAPULA", "CLAVICLE", "ACJOINT", "WHOLEBODY", "TRUNK"),
    *("LOWERTRUNK", "UPPERTRUNK", "ABDOMENPELVIS", "CHESTABDPELVIS", "NECKCHESTABDPELV"),
    *("LOWEREXTREMITY", "UPPEREXTREMITY", "LEG", "ARM", "GROIN", "GLUTEUS"),  # not of Annex L
)
"""Body Part Examined (PS3.16 Annex L) of limbs, girdles and pelvis, where the training tumours
lay, and of parts of the trunk that hold one of them: there the field of view asks for a seed.
The attribute is optional and often absent: absence is flagged, not refused."""

NOT_PET = ("*NAC*", "*NON*AC*", "*UNCORRECTED*", "*MIP*")
"""Series descriptions of PET without attenuation correction: no SUV can be read from it."""

_FIELD_MM = [size * FIELD_TOLERANCE for size in TRAINED_FIELD_OF_VIEW_MM]

MANIFEST = Manifest(
    plugin="contouring",
    version="0.1.1",
    title="Sarcoma GTV contouring",
    intended_purpose=(
        "Propose the contour of the primary gross tumour volume (GTVp) of a sarcoma of limb, "
        "limb girdle or pelvis on CT, with FDG-PET where the same frame of reference has it, "
        "for a radiation oncologist to review and edit.  Research use; not a certified device."
    ),
    evidence="real",
    inputs=(
        Input("ct", "CT", minimum_instances=16),
        Input("pet", "PT", required=False, same_frame_as="ct", minimum_instances=8),
    ),
    outputs=(Output("Segmentation", "GTVp", NEOPLASM.value, NEOPLASM.scheme, NEOPLASM.meaning),),
    routing=(
        Rule("SeriesDescription", "matches", NOT_PET, applies_to="pet", negate=True),
        Rule("BodyPartExamined", "in", ("BRAIN", "HEAD", "SKULL", "HEART", "BREAST"), "ct", True),
    ),
    envelope=Envelope(
        body_parts=BODY_PARTS,
        age_years=(10.0, 120.0),
        slice_spacing_mm=(1.0, 6.0),
        in_plane_mm=(0.4, 2.5),
        frames=(16, 1500),
        quality_flags_refused=("metal",),
        trained_field_mm=(_FIELD_MM[0], _FIELD_MM[1], _FIELD_MM[2]),
        oblique_deg=10.0,
    ),
    parameters={"members": "all", "mirrored": True},
    limits=Limits(wall_time_s=120.0, memory_mb=4096, explanation_s=20.0, threads=2),
    weights=tuple(json.loads(Path(__file__).with_name("weights.json").read_text("utf-8"))),
    model_packages=("models.unet", "models.contouring"),
)


@dataclass(frozen=True, slots=True)
class Work:
    """What `predict` knows of a case and `explain` goes on from.

    ``box`` places the part that the network saw in the turned CT, ``grid`` in millimetres.
    """

    case: Case
    ensemble: Ensemble
    frame: Frame
    box: tuple[slice, slice, slice]
    shape: tuple[int, int, int]
    grid: Grid
    contour: Contour

    def on_ct(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return values of the box on the whole CT, in its own axis order; zero outside."""
        whole = np.zeros(self.shape, dtype=values.dtype)
        whole[self.box] = values
        return self.frame.back(whole)


class Contouring:
    """Propose the GTVp of one case, with its volume, diameter and uncertainty."""

    manifest = MANIFEST

    def load(self, artifact: Artifact) -> None:
        """Read the members of the ensemble, and the libraries that explain them."""
        from models.contouring.ensemble import Ensemble
        from models.contouring.uncertainty import Calibration
        from plugins.host import explain

        members = [artifact.weights(name) for name in self.manifest.weights]
        self.prepare(Ensemble.load(members), Calibration.load())
        explain.warm()

    def prepare(self, ensemble: Ensemble, calibration: Calibration) -> None:
        """Use this ensemble and calibration from now on."""
        import torch

        for network in ensemble.networks:  # half the time of the default layout on a processor
            network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.ensemble = ensemble
        self.calibration = calibration
        self._work: Work | None = None

    def predict(self, case: Case, parameters: Parameters) -> Prediction:
        """Return the contour on the voxels of the CT; abstain where it is not to be trusted."""
        from models.contouring.uncertainty import judge, modality_set

        work = self._contour(case, parameters)
        self._work = work
        contour = work.contour
        volume = volume_ml(contour.mask, work.grid.spacing_mm)
        modalities = modality_set("pet" in _images(case))
        judgement = judge(contour.spread, volume, modalities, self.calibration)
        findings = (self._segmentation(work, volume, judgement),) if volume > 0 else ()
        return Prediction(
            findings,
            self._uncertainty(work, judgement, found=volume > 0),
            case_statistics(case, work.ensemble.embedding(contour.channels), volume),
        )

    def explain(self, case: Case, prediction: Prediction) -> Explanation:
        """Return what made the contour what it is, with measured faithfulness."""
        from plugins.contouring.explain import NOTHING_EXPLAINED, explain_contour

        if not prediction.findings:
            return NOTHING_EXPLAINED
        if self._work is None or self._work.case is not case:
            self._work = self._contour(case, self.manifest.parameters)
        return explain_contour(self._work)

    def _contour(self, case: Case, parameters: Parameters) -> Work:
        from models.contouring.contour import contour_case

        ensemble = chosen_members(self.ensemble, str(parameters.get("members", "all")))
        images = _images(case)
        frame = frame_of(images["ct"].geometry)
        ct_hu, whole = lay(images["ct"], frame)
        pet_suv, pet_grid = lay(images["pet"], frame) if "pet" in images else (None, None)
        seed = (
            None if case.seed_point_mm is None else _inside(frame.point(case.seed_point_mm), whole)
        )
        box, grid = (slice(None), slice(None), slice(None)), whole
        if exceeds_trained_field(whole.shape, whole.spacing_mm):
            if seed is None:
                raise RefusalError("expected a seed point", reasons=("SEED_REQUIRED",))
            crop = crop_around(ct_hu, whole, seed)
            box, grid = crop.slices, crop.grid
        mirrored = bool(parameters.get("mirrored", True))
        contour = contour_case(
            ensemble, ct_hu[box], grid, pet_suv, pet_grid, seed, mirrored=mirrored
        )
        return Work(case, ensemble, frame, box, whole.shape, grid, contour)

    def _segmentation(self, work: Work, volume: float, judgement: Judgement) -> Segmentation:
        diameter = max_diameter_mm(work.contour.mask, work.grid.spacing_mm)
        interval = (judgement.volume_low_ml, judgement.volume_high_ml)
        return Segmentation(
            "GTVp",
            work.on_ct(work.contour.mask).astype(np.bool_),
            work.case.images["ct"].geometry,
            "ct",
            ABNORMAL,
            NEOPLASM,
            "GTV",
            (
                Measurement(VOLUME, volume, "ml", interval),
                Measurement(DIAMETER, diameter, "mm"),
            ),
            description="Proposed by software, not reviewed",
        )

    def _uncertainty(self, work: Work, judgement: Judgement, *, found: bool) -> Uncertainty:
        limit = self.calibration.abstain_below
        reason = f"PREDICTED_DSC {judgement.predicted_dsc:.2f}, withheld below {limit:.2f}"
        voxels = np.clip(work.on_ct(work.contour.uncertainty), 0.0, 1.0).astype(np.float32)
        return Uncertainty(
            "predicted-dsc",
            judgement.predicted_dsc,
            (judgement.dsc_at_least, 1.0),
            voxels,
            work.case.images["ct"].geometry,
            judgement.abstain,
            ((reason if found else "NO_TUMOUR_FOUND"),) if judgement.abstain else (),
        )


def chosen_members(ensemble: Ensemble, members: str) -> Ensemble:
    """Return the ensemble, or those of its members that are named, as in ``fold-0,fold-3``.

    Raises
    ------
    ConfigurationError : a name is not that of a member.
    """
    if members == "all":
        return ensemble
    wanted = tuple(name.strip() for name in members.split(","))
    unknown = sorted(set(wanted) - set(ensemble.member_names))
    if unknown:
        raise ConfigurationError(f"expected members of {ensemble.member_names}, found {unknown}")
    pairs = zip(ensemble.member_names, ensemble.networks, ensemble.headers, strict=True)
    return type(ensemble)([(network, header) for name, network, header in pairs if name in wanted])


def _images(case: Case) -> dict[str, Volume]:
    """Return CT and, where it lies in the same frame of reference, PET."""
    ct, pet = case.images["ct"], case.images.get("pet")
    frame = ct.geometry.frame_of_reference_uid
    if pet is None or pet.geometry.frame_of_reference_uid != frame:
        return {"ct": ct}
    return {"ct": ct, "pet": pet}


def _inside(point_mm: tuple[float, float, float], grid: Grid) -> tuple[float, float, float]:
    """Return a point (z, y, x) moved by at most half a voxel to lie between voxel centres."""
    first = np.asarray(grid.origin_mm)
    last = first + (np.asarray(grid.shape) - 1) * np.asarray(grid.spacing_mm)
    z, y, x = (float(value) for value in np.clip(point_mm, first, last))
    return z, y, x
