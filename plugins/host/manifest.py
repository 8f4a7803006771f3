"""The manifest: what a plugin states about itself.

The author writes it in ``plugin.py``; ``osteon release build`` adds members, runtime
and training facts and freezes the whole as the release's ``manifest.json``.  `encode`
and `decode` are inverses.

Read next: `envelope.py` (how the envelope is checked), `routing.py` (how rules select).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from audit.errors import ReleaseError
from plugins.host import HOST_API

EVIDENCE = ("real", "simulated", "published", "analytic")


@dataclass(frozen=True, slots=True)
class Input:
    """One object that the plugin wants.

    Parameters
    ----------
    role : key in `Case.images` (or radiographs, structure_sets, doses, plans).
    modality : DICOM modality: CT, PT, MR, CR, DX, RTSTRUCT, RTDOSE, RTPLAN.
    required : without it the release does not apply.
    same_frame_as : role whose frame of reference it must share; an optional input that
        does not share it is left out, with the reason.
    minimum_instances : fewer do not count as a series of this role; a multi-frame object
        counts by its frames.
    from_plugin : plugin whose results, or what was approved in their place, this input is; None
        where it comes from elsewhere.  Monitoring shows how that plugin stands.
    every : all that could fill the role are given, not the best alone, so that the plugin can
        tell which is meant: ``plan``, ``plan-2``, ... by Series Instance UID, and each RT object
        of a series as one of its own.
    """

    role: str
    modality: str
    required: bool = True
    same_frame_as: str | None = None
    minimum_instances: int = 1
    from_plugin: str | None = None
    every: bool = False

    def numbered(self, number: int) -> str:
        """Return the role of the first, second, ... that fills it, counted from 1."""
        return self.role if number == 1 else f"{self.role}-{number}"

    def holds(self, role: str) -> bool:
        """Return whether a role of a request or a case is this one, or one of its further ones."""
        further = role.removeprefix(f"{self.role}-")
        return role == self.role or (self.every and further != role and further.isdecimal())


@dataclass(frozen=True, slots=True)
class Rule:
    """One declarative condition on a DICOM keyword of the routed series or study.

    ``operator`` is one of: equals, in, contains, matches (shell pattern), at_least,
    at_most, present, absent.  ``negate`` turns it round.  ``applies_to`` is a role.
    """

    keyword: str
    operator: str
    value: str | float | tuple[str, ...] | None = None
    applies_to: str = ""
    negate: bool = False


@dataclass(frozen=True, slots=True)
class Envelope:
    """The intended purpose in checkable terms; None means not limited.

    ``slice_spacing_mm``, ``in_plane_mm``, ``age_years``, ``frames`` are inclusive ranges.
    ``quality_flags_refused`` are flags (e.g. ``metal``) that lead to a refusal.
    ``trained_field_mm`` is the largest (z, y, x) extent without a seed point.
    ``oblique_deg`` is the largest angle between a grid axis and its nearest patient axis.
    ``prescription_required``: without doses to targets the release does not run.
    """

    body_parts: tuple[str, ...] = ()
    age_years: tuple[float, float] | None = None
    slice_spacing_mm: tuple[float, float] | None = None
    in_plane_mm: tuple[float, float] | None = None
    frames: tuple[int, int] | None = None
    kernels_refused: tuple[str, ...] = ()
    quality_flags_refused: tuple[str, ...] = ()
    trained_field_mm: tuple[float, float, float] | None = None
    required_structures: tuple[str, ...] = ()
    oblique_deg: float | None = None
    prescription_required: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """One finding that the plugin may give, as it will be coded."""

    kind: str
    name: str
    code_value: str
    code_scheme: str
    code_meaning: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Resources that one case may take in the worker."""

    wall_time_s: float = 120.0
    memory_mb: int = 4096
    explanation_s: float = 20.0
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a plugin states about itself.

    Raises
    ------
    ReleaseError : a name or evidence class is not valid.
    """

    plugin: str
    version: str
    title: str
    intended_purpose: str
    evidence: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    routing: tuple[Rule, ...] = ()
    envelope: Envelope = field(default_factory=Envelope)
    parameters: Mapping[str, str | float | bool] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    weights: tuple[str, ...] = ()
    model_packages: tuple[str, ...] = ()
    host_api: int = HOST_API

    def __post_init__(self) -> None:
        if not self.plugin.isidentifier():
            raise ReleaseError(f"expected a plugin name like contouring, found {self.plugin!r}")
        if self.evidence not in EVIDENCE:
            raise ReleaseError(f"expected evidence in {EVIDENCE}, found {self.evidence!r}")
        if not self.inputs:
            raise ReleaseError(f"expected at least one input for plugin {self.plugin}")


def encode(manifest: Manifest) -> dict[str, Any]:
    """Return the manifest as JSON values; inverse of `decode`.

    What a manifest could not say when it was published stands there only where it says so: the
    same manifest then has the same digest as ever.
    """
    document = asdict(manifest)
    if not manifest.envelope.prescription_required:
        del document["envelope"]["prescription_required"]
    for item in document["inputs"]:
        if item["from_plugin"] is None:
            del item["from_plugin"]
        if not item["every"]:
            del item["every"]
    return document


def decode(document: Mapping[str, Any]) -> Manifest:
    """Return the manifest that ``document`` states; keys of the release are ignored."""
    known = {item.name for item in fields(Manifest)}
    values = {key: value for key, value in document.items() if key in known}
    try:
        values["inputs"] = tuple(Input(**item) for item in values["inputs"])
        values["outputs"] = tuple(Output(**item) for item in values["outputs"])
        values["routing"] = tuple(_rule(item) for item in values.get("routing", ()))
        values["envelope"] = _envelope(values.get("envelope", {}))
        values["limits"] = Limits(**values.get("limits", {}))
        for name in ("weights", "model_packages"):
            values[name] = tuple(values.get(name, ()))
        return Manifest(**values)
    except (KeyError, TypeError) as error:
        raise ReleaseError(f"expected a plugin manifest, found a fault in {error}") from error


def _rule(item: Mapping[str, Any]) -> Rule:
    values = dict(item)
    if isinstance(values.get("value"), list):
        values["value"] = tuple(values["value"])
    return Rule(**values)


def _envelope(item: Mapping[str, Any]) -> Envelope:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in item.items()
    }
    return Envelope(**values)
