"""Example: outline the largest bone on a CT.  Read next: `docs/write-a-plugin.md`."""

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, distance

from plugins.host.case import Case
from plugins.host.findings import Measurement, Prediction, Segmentation, Uncertainty
from plugins.host.images import Code
from plugins.host.manifest import Input, Limits, Manifest, Output
from plugins.host.protocol import Artifact, Parameters

BONE, ANATOMY = Code("272673000", "SCT", "Bone"), Code("91723000", "SCT", "Anatomical Structure")
VOLUME, DIAMETER = Code("118565006", "SCT", "Volume"), Code("L0JK", "IBSI", "Maximum 3D Diameter")
UNKNOWN, NOTHING = ("not measured", 0.0, (0.0, 1.0)), ("NO_BONE_FOUND",)


class Example:
    """Outline the largest connected region above a threshold."""

    manifest = Manifest(
        *("example", "1.0.0", "Largest bone", "Show how to write a plugin", "analytic"),
        inputs=(Input("ct", "CT"),),
        outputs=(Output("Segmentation", "Bone", "272673000", "SCT", "Bone"),),
        parameters={"threshold_hu": 300.0},
        limits=Limits(wall_time_s=60.0, memory_mb=2048, threads=1),
    )

    def load(self, artifact: Artifact) -> None:
        """Read nothing: a threshold has no weights."""

    def predict(self, case: Case, parameters: Parameters) -> Prediction:
        """Return the bone with its volume and diameter; abstain where there is none."""
        ct, spacing = case.images["ct"], case.images["ct"].geometry.spacing_mm
        labels, _ = ndimage.label(ct.array > float(parameters["threshold_hu"]))
        sizes = np.bincount(labels.ravel(), minlength=2)[1:]
        if sizes.max() < 100:
            return Prediction((), Uncertainty(*UNKNOWN, abstain=True, reasons=NOTHING))
        mask = labels == 1 + int(sizes.argmax())
        surface = np.argwhere(mask & ~ndimage.binary_erosion(mask)) * np.asarray(spacing)
        corners = surface[ConvexHull(surface, qhull_options="QJ").vertices]
        size = Measurement(VOLUME, float(mask.sum()) * ct.geometry.voxel_volume_ml(), "ml")
        length = Measurement(DIAMETER, float(distance.pdist(corners).max()), "mm")
        bone = Segmentation("Bone", mask, ct.geometry, "ct", ANATOMY, BONE, "ORGAN", (size, length))
        return Prediction((bone,), Uncertainty(*UNKNOWN))
