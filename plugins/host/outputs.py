"""Is the answer one that can be written?  Checked in the host, whatever the plugin did.

Types, shapes within themselves and finite values are checked while the answer is decoded
(`wire.py`); here it is compared with the case and the manifest.

Read next: `worker_process.py`.
"""

from __future__ import annotations

import numpy as np

from audit.errors import PluginOutputError
from plugins.host.case import Case
from plugins.host.findings import DoseGrid, Explanation, Prediction, Segmentation
from plugins.host.images import Geometry

PARALLEL = 1e-4
"""Largest difference between the cosines of two grids that count as parallel."""


def check_prediction(prediction: Prediction, case: Case) -> None:
    """Return when every finding fits the case.

    Raises
    ------
    PluginOutputError : a mask or map is not on the grid of the image that it names, a
        dose is not parallel to it or names what the case lacks, or the interval of the
        uncertainty is reversed.
    """
    for finding in prediction.findings:
        if isinstance(finding, Segmentation):
            image = case.images.get(finding.reference_role)
            if image is None:
                raise PluginOutputError(
                    "expected a segmentation on an image of the case, found another role"
                )
            if finding.geometry != image.geometry:
                raise PluginOutputError(
                    f"expected a segmentation on the grid of {finding.reference_role} "
                    f"{image.geometry.shape}, found another grid {finding.geometry.shape}"
                )
        elif isinstance(finding, DoseGrid):
            _check_dose(finding, case)
    uncertainty = prediction.uncertainty
    if uncertainty.interval[0] > uncertainty.interval[1]:
        raise PluginOutputError("expected an uncertainty interval from low to high")
    shape = None if uncertainty.voxels is None else uncertainty.voxels.shape
    _check_map("uncertainty map", shape, uncertainty.geometry, case)


def _check_dose(dose: DoseGrid, case: Case) -> None:
    """Return when a dose lies parallel to its image and names objects of the case."""
    image = case.images.get(dose.reference_role)
    structures = case.structure_sets.get(dose.structure_role)
    if image is None or structures is None:
        raise PluginOutputError("expected a dose on image and structures of the case, found none")
    if dose.plan_role is not None and dose.plan_role not in case.plans:
        raise PluginOutputError("expected a dose of a plan of the case, found another role")
    if dose.geometry.frame_of_reference_uid != image.geometry.frame_of_reference_uid:
        raise PluginOutputError("expected the dose in the image's frame of reference")
    if not np.allclose(dose.geometry.axes, image.geometry.axes, atol=PARALLEL):
        raise PluginOutputError("expected the dose on a grid parallel to the image's")
    known = {roi.number for roi in structures.rois}
    if any(region.roi_number not in known for region in dose.regions):
        raise PluginOutputError("expected regions of the structure set, found another ROI number")


def check_explanation(explanation: Explanation, case: Case) -> None:
    """Return when the attribution lies on the grid of an image of the case."""
    attribution = explanation.attribution
    shape = None if attribution is None else attribution.shape
    _check_map("attribution", shape, explanation.geometry, case)


def _check_map(
    name: str, shape: tuple[int, ...] | None, geometry: Geometry | None, case: Case
) -> None:
    if shape is None:
        return
    if geometry is None or shape != geometry.shape:
        raise PluginOutputError(f"expected the {name} on its geometry, found shape {shape}")
    if all(geometry != image.geometry for image in case.images.values()):
        raise PluginOutputError(f"expected the {name} on the grid of an image of the case")
