"""Is the answer one that can be written?  Checked in the host, whatever the plugin did.

Types, shapes within themselves and finite values are checked while the answer is decoded
(`wire.py`); here it is compared with the case and the manifest.

Read next: `worker_process.py`.
"""

from __future__ import annotations

from audit.errors import PluginOutputError
from plugins.host.case import Case
from plugins.host.findings import Explanation, Prediction, Segmentation
from plugins.host.images import Geometry


def check_prediction(prediction: Prediction, case: Case) -> None:
    """Return when every finding fits the case.

    Raises
    ------
    PluginOutputError : a mask or map is not on the grid of the image that it names, or
        the interval of the uncertainty is reversed.
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
    uncertainty = prediction.uncertainty
    if uncertainty.interval[0] > uncertainty.interval[1]:
        raise PluginOutputError("expected an uncertainty interval from low to high")
    shape = None if uncertainty.voxels is None else uncertainty.voxels.shape
    _check_map("uncertainty map", shape, uncertainty.geometry, case)


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
