"""The plugin that runs an imported model.

Its code is the same for every model; what the model is stands in its release: the manifest
carries purpose, inputs and outputs as for any plugin, and under ``imported`` the description
that `models/importers` obeys.  A release is made by ``osteon release import``
(docs/import-a-model.md), so this package is no entry point and has no release of its own.

Read next: `models/importers/segment.py` (the path of a case), `explain.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit.errors import RefusalError
from models.importers import description as descriptions
from models.importers.description import Concept, Description, Label
from models.importers.measure import max_diameter_mm, volume_ml
from models.importers.networks import runner
from models.importers.networks.runner import Runner
from models.importers.resampling import onto_grid
from models.importers.segment import Segmented, segment
from plugins.host import manifest as manifests
from plugins.host.case import Case
from plugins.host.findings import Explanation, Measurement, Prediction, Segmentation, Uncertainty
from plugins.host.images import Code, Geometry, Volume
from plugins.host.manifest import Input, Manifest, Output
from plugins.host.protocol import Artifact, Parameters
from plugins.imported.statistics import case_statistics

VOLUME = Code("118565006", "SCT", "Volume")
DIAMETER = Code("L0JK", "IBSI", "Maximum 3D Diameter")
MEASURE = "voxel-entropy"
"""Shannon's entropy of a voxel over its maximum; the interval holds 90 % of the voxels."""

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Work:
    """What `predict` knows of a case and `explain` goes on from."""

    case: Case
    answer: Segmented


class Imported:
    """Outline the structures of an imported model on the grid of its first input."""

    manifest = Manifest(
        plugin="imported",
        version="1.0.0",
        title="Imported model",
        intended_purpose="None of its own: a release of an imported model states one.",
        evidence="published",
        inputs=(Input("image", "CT"),),
        outputs=(Output("Segmentation", "Structure", "91723000", "SCT", "Anatomical Structure"),),
    )

    def load(self, artifact: Artifact) -> None:
        """Read description and weights of the release; run one empty window."""
        self.manifest = manifests.decode(artifact.manifest)
        described = descriptions.decode(artifact.manifest["imported"])
        contents = [artifact.weights(name) for name in described.network.files]
        self.prepare(described, runner.load(described.network, contents, self._threads()))
        if described.explanation != "none":
            from plugins.host import explain

            explain.warm()

    def prepare(self, described: Description, network: Runner) -> None:
        """Use this model from now on."""
        self.description = described
        self.network = network
        self._work: Work | None = None

    def predict(self, case: Case, parameters: Parameters) -> Prediction:
        """Return each structure that was found, with volume, diameter and uncertainty."""
        del parameters
        reference = self._image(case, self._roles()[0])
        geometry = reference.geometry
        channels = [self._channel(case, role, geometry) for role in self._roles()]
        answer = segment(
            self.description,
            self.network,
            np.stack(channels),
            geometry.spacing_mm,
            np.asarray(geometry.axes, dtype=np.float64),
        )
        if not np.isfinite(answer.logits).all():
            raise RefusalError("the model gave no finite answer", reasons=("NOT_FINITE",))
        self._work = Work(case, answer)
        labels = [
            label for label in self.description.outputs.labels if answer.masks[label.name].any()
        ]
        findings = tuple(self._segmentation(label, answer, reference) for label in labels)
        volumes = {item.name: item.measurements[0].value for item in findings}
        return Prediction(
            findings,
            _uncertainty(answer, geometry),
            case_statistics(case, volumes, parameters_of(self.description)),
        )

    def explain(self, case: Case, prediction: Prediction) -> Explanation:
        """Return what made the largest structure what it is, in the window around it."""
        from plugins.imported.explain import explain_work

        del prediction
        if self._work is None or self._work.case is not case:
            raise RefusalError("nothing was predicted of this case", reasons=("NOT_PREDICTED",))
        return explain_work(
            self.description, self.network, self._work.answer, self._image(case, self._roles()[0])
        )

    def _roles(self) -> tuple[str, ...]:
        return tuple(channel.role for channel in self.description.channels)

    def _threads(self) -> int:
        return max(1, self.manifest.limits.threads)

    def _image(self, case: Case, role: str) -> Volume:
        if role not in case.images:
            raise RefusalError("an input is missing", reasons=("MISSING_INPUT",))
        return case.images[role]

    def _channel(self, case: Case, role: str, geometry: Geometry) -> FloatArray:
        """Return one input on the grid of the first; air where its image does not reach."""
        channel = next(item for item in self.description.channels if item.role == role)
        volume = self._image(case, role)
        if volume.units != channel.unit:
            raise RefusalError("an input has another unit", reasons=("UNITS",))
        if volume.geometry == geometry:
            return volume.array
        if volume.geometry.frame_of_reference_uid != geometry.frame_of_reference_uid:
            raise RefusalError("inputs lie in two frames", reasons=("FRAME_OF_REFERENCE",))
        matrix = np.linalg.inv(volume.geometry.affine()) @ geometry.affine()
        return onto_grid(volume.array, matrix, geometry.shape, channel.outside)

    def _segmentation(self, label: Label, answer: Segmented, reference: Volume) -> Segmentation:
        mask, geometry = answer.masks[label.name], reference.geometry
        return Segmentation(
            label.name,
            mask,
            geometry,
            self._roles()[0],
            _code(label.category),
            _code(label.code),
            label.interpreted_type,
            (
                Measurement(VOLUME, volume_ml(mask, geometry.spacing_mm), "ml"),
                Measurement(DIAMETER, max_diameter_mm(mask, geometry.spacing_mm), "mm"),
            ),
            description="Proposed by an imported model, not reviewed",
        )


def parameters_of(described: Description) -> dict[str, float]:
    """Return numbers of the model that monitoring keeps beside its answers."""
    return {"members": float(len(described.network.files))}


def _uncertainty(answer: Segmented, geometry: Geometry) -> Uncertainty:
    """Return the entropy of the voxels that were found; abstain where nothing was."""
    found = np.any(list(answer.masks.values()), axis=0)
    if not found.any():
        nothing = (MEASURE, 1.0, (0.0, 1.0), answer.entropy, geometry)
        return Uncertainty(*nothing, abstain=True, reasons=("NOTHING_FOUND",))
    values = answer.entropy[found]
    low, high = (float(value) for value in np.percentile(values, (5, 95)))
    score = float(values.mean(dtype=np.float64))
    return Uncertainty(MEASURE, score, (low, high), answer.entropy, geometry)


def _code(concept: Concept) -> Code:
    return Code(concept.value, concept.scheme, concept.meaning)
