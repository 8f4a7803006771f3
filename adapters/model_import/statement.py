"""What a person states of a model for its release: name, purpose, envelope, supplier, data.

The parts on the network (inputs, outputs, preprocessing, inference) are read by
`models/importers/statement.py`.  Nothing is invented: purpose, evidence and envelope must
be there; a supplier or licence that is not stated is flagged as unknown in the bill of
materials.

Read next: `card.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

from audit.errors import ModelImportError, ReleaseError
from models.importers import fields
from models.importers.description import Description
from models.importers.statement import PLACE
from plugins.host.manifest import EVIDENCE, Envelope, Input, Limits, Manifest, Output

SECTIONS = (
    *("name", "version", "title", "intended_purpose", "evidence", "licence", "supplier"),
    *("source", "training", "envelope", "limits", "known_limits", "inputs", "outputs"),
    *("preprocessing", "inference", "explanation"),
)
UNKNOWN = "unknown"
USUAL_LIMITS = Limits(wall_time_s=900.0, memory_mb=12288, explanation_s=20.0, threads=2)
MODEL_PACKAGES = ("models.importers",)


@dataclass(frozen=True, slots=True)
class Training:
    """What the weights were trained on, as far as it is known.

    Parameters
    ----------
    patients : pseudonyms, where the data have some; else only their number is stated.
    """

    source: str
    licence: str
    patients: tuple[str, ...]
    patient_count: int | None


@dataclass(frozen=True, slots=True)
class ReleaseStatement:
    """The parts of a statement that concern the release."""

    name: str
    version: str
    title: str
    intended_purpose: str
    evidence: str
    licence: str
    supplier: str
    source: str
    training: Training
    envelope: Envelope
    limits: Limits
    known_limits: tuple[str, ...]
    minimum_instances: tuple[int, ...]

    def manifest(self, description: Description) -> Manifest:
        """Return the manifest of the release.

        Raises
        ------
        ModelImportError : the name is none of a plugin.
        """
        roles = [channel.role for channel in description.channels]
        inputs = tuple(
            Input(
                channel.role,
                channel.modality,
                same_frame_as=roles[0] if index else None,
                minimum_instances=self.minimum_instances[index],
            )
            for index, channel in enumerate(description.channels)
        )
        outputs = tuple(
            Output(
                "Segmentation", label.name, label.code.value, label.code.scheme, label.code.meaning
            )
            for label in description.outputs.labels
        )
        try:
            return Manifest(
                *(self.name, self.version, self.title, self.intended_purpose, self.evidence),
                inputs,
                outputs,
                envelope=self.envelope,
                limits=self.limits,
                weights=description.network.files,
                model_packages=MODEL_PACKAGES,
            )
        except ModelImportError:
            raise
        except ReleaseError as error:
            raise ModelImportError(f"{PLACE} name", "a name like spleen", self.name) from error


def read_release_statement(
    document: Mapping[str, Any], name: str | None, version: str | None
) -> ReleaseStatement:
    """Return the release's part of a statement; ``name`` and ``version`` go before it.

    Raises
    ------
    ModelImportError : a field is missing, unknown or of another kind.
    """
    fields.only(document, SECTIONS, PLACE)
    values = {**document, **{k: v for k, v in (("name", name), ("version", version)) if v}}
    own = fields.text(values, "name", PLACE)
    return ReleaseStatement(
        own,
        fields.text(values, "version", PLACE),
        fields.text(values, "title", PLACE, own),
        fields.text(values, "intended_purpose", PLACE),
        fields.choice(values, "evidence", PLACE, EVIDENCE),
        fields.text(values, "licence", PLACE, UNKNOWN),
        fields.text(values, "supplier", PLACE, UNKNOWN),
        fields.text(values, "source", PLACE, UNKNOWN),
        _training(fields.mapping(values.get("training") or {}, f"{PLACE} training")),
        _envelope(fields.section(values, "envelope", PLACE)),
        _limits(fields.mapping(values.get("limits") or {}, f"{PLACE} limits")),
        tuple(
            str(item)
            for item in fields.listed(values.get("known_limits", ()), f"{PLACE} known_limits")
        ),
        tuple(
            fields.integer(item.get("minimum_instances", 1), f"{PLACE} minimum_instances", 1)
            for item in fields.listed(values.get("inputs", ()), f"{PLACE} inputs")
            if isinstance(item, Mapping)
        ),
    )


def _training(values: Mapping[str, Any]) -> Training:
    place = f"{PLACE} training"
    fields.only(values, ("source", "licence", "patients", "patient_count"), place)
    patients = fields.listed(values.get("patients", ()), f"{place}.patients")
    count = values.get("patient_count")
    if count is not None:
        count = fields.integer(count, f"{place}.patient_count", 0)
        if patients and len(patients) != count:
            found = f"{len(patients)} patients"
            raise ModelImportError(f"{place}.patient_count", f"{count} patients", found)
    return Training(
        fields.text(values, "source", place, UNKNOWN),
        fields.text(values, "licence", place, UNKNOWN),
        tuple(sorted(str(name) for name in patients)),
        count if count is not None else len(patients) or None,
    )


def _envelope(values: Mapping[str, Any]) -> Envelope:
    """Return the envelope; an empty one would say that everything was validated."""
    place = f"{PLACE} envelope"
    fields.only(values, [item.name for item in dataclass_fields(Envelope)], place)
    if not values:
        raise ModelImportError(place, "at least one limit", fields.NOTHING)
    ranges = {"age_years": 2, "slice_spacing_mm": 2, "in_plane_mm": 2, "frames": 2}
    found: dict[str, Any] = {}
    for key, value in values.items():
        if key in ranges or key == "trained_field_mm":
            found[key] = fields.numbers(value, f"{place}.{key}", ranges.get(key, 3), 0.0)
            if key in ranges and found[key][0] > found[key][1]:
                raise ModelImportError(f"{place}.{key}", "low before high", list(value))
        elif key == "oblique_deg":
            found[key] = fields.number(value, f"{place}.{key}", 0.0, 90.0)
        elif key == "prescription_required":
            found[key] = fields.flag(values, key, place, False)
        else:
            found[key] = tuple(str(item) for item in fields.listed(value, f"{place}.{key}"))
    return Envelope(**found)


def _limits(values: Mapping[str, Any]) -> Limits:
    place = f"{PLACE} limits"
    names = ("wall_time_s", "memory_mb", "explanation_s", "threads")
    fields.only(values, names, place)
    usual = {name: getattr(USUAL_LIMITS, name) for name in names}
    stated = {
        name: fields.number(values.get(name, usual[name]), f"{place}.{name}", 1) for name in names
    }
    return Limits(
        stated["wall_time_s"],
        int(stated["memory_mb"]),
        stated["explanation_s"],
        int(stated["threads"]),
    )
