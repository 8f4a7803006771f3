"""Fields that come from the release itself: manifest, card, bill of materials, criteria.

Read next: `contents_evidence.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.release import MANIFEST
from governance.technical_file.card_text import items, part
from governance.technical_file.found import Absent, Answer, Found, Missing, Rule, needs
from governance.technical_file.sources import (
    CARD,
    CRITERIA,
    INTERFACES,
    SBOM,
    VERSIONS,
    Sources,
)

LIMITS = ("limits and failure modes", "limits")


@needs(MANIFEST)
def version(sources: Sources) -> Answer:
    """Return version, digest and builder."""
    manifest = sources.content(MANIFEST)
    value = {
        "plugin": sources.plugin,
        "version": sources.version,
        "release_digest": sources.release_digest,
        "built_by": manifest.get("built_by", ""),
    }
    return Found(value, (MANIFEST,))


@needs(VERSIONS)
def previous_versions(sources: Sources) -> Answer:
    """Return the other versions of the plugin that this site knows."""
    rows = [row for row in sources.content(VERSIONS) if row["digest"] != sources.release_digest]
    if not rows:
        return Absent("no other version of this plugin is known at this site", (VERSIONS,))
    return Found(rows, (VERSIONS,))


@needs(INTERFACES)
def interactions(sources: Sources) -> Answer:
    """Return the systems that the site connects it with; no address and no secret."""
    rows = sources.content(INTERFACES)
    if not rows:
        return Missing("the configuration of the site names no archive and no target")
    return Found(rows, (INTERFACES,))


@needs(MANIFEST, SBOM)
def software_versions(sources: Sources) -> Answer:
    """Return interpreter and libraries that the released code uses."""
    runtime = sources.content(MANIFEST).get("runtime", {})
    pins = [{"library": name, "version": pin} for name, pin in runtime.get("pins", {}).items()]
    value = {
        "python": runtime.get("python", ""),
        "libraries": pins,
        "bill_of_materials": f"{len(sources.content(SBOM).get('components', ()))} components",
    }
    return Found(value, (MANIFEST, SBOM))


@needs(MANIFEST)
def update_requirements(sources: Sources) -> Answer:
    """Return what the release asks of the suite that runs it."""
    manifest = sources.content(MANIFEST)
    value = {
        "host_interface": manifest.get("host_api"),
        "python": manifest.get("runtime", {}).get("python", ""),
        "rule": "a change of any member is a new release with another digest",
    }
    return Found(value, (MANIFEST,))


@needs(MANIFEST)
def forms_of_supply(sources: Sources) -> Answer:
    """Return the form in which the release is supplied."""
    manifest = sources.content(MANIFEST)
    value = {
        "file": f"{sources.plugin}-{sources.version}.osteon",
        "form": "one signed bundle of code, weights, card, criteria and bill of materials",
        "schema": manifest["schema"],
        "members": f"{len(manifest['members'])} members, each by its digest",
    }
    return Found(value, (MANIFEST,))


@needs(MANIFEST)
def hardware(sources: Sources) -> Answer:
    """Return the resources that one case may take."""
    limits = sources.content(MANIFEST).get("limits", {})
    value = {
        "processor": f"{limits.get('threads')} threads; no accelerator needed",
        "memory": f"{limits.get('memory_mb')} MB for the worker",
        "time": f"at most {limits.get('wall_time_s'):g} s a case",
    }
    return Found(value, (MANIFEST,))


@needs(MANIFEST)
def component_flow(sources: Sources) -> Answer:
    """Return what flows from inputs through packages and weights to outputs."""
    manifest = sources.content(MANIFEST)
    inputs = [f"{row['role']} ({row['modality']})" for row in manifest["inputs"]]
    weights = [name for name in manifest["members"] if name.startswith("weights/")]
    value = {
        "inputs": inputs,
        "entry_point": manifest.get("entry_point", ""),
        "packages": list(manifest.get("model_packages", ())),
        "weights": f"{len(weights)} files",
        "outputs": [f"{row['name']} ({row['kind']})" for row in manifest["outputs"]],
    }
    return Found(value, (MANIFEST,))


@needs(MANIFEST, CARD)
def datasheets(sources: Sources) -> Answer:
    """Return what each weight file was trained on, and the card's description of the data."""
    described = part(sources.content(CARD), "data")
    rows = sources.content(MANIFEST).get("training", ())
    if not described or (not rows and _has_weights(sources)):
        return Missing("the card has no part on data, or the weights no training manifest")
    value: dict[str, Any] = {"description": described}
    if rows:
        value["training"] = [_trained(row) for row in rows]
        value["patients_in_all"] = len({p for row in rows for p in row.get("trained_on", ())})
    return Found(value, (MANIFEST, CARD))


@needs(CRITERIA)
def vv_procedures(sources: Sources) -> Answer:
    """Return how the release is judged, as fixed before the result."""
    criteria = sources.content(CRITERIA)
    keys = ("metric_pack", "method", "interval", "smallest_stratum", "recorded_at")
    return Found({key: criteria[key] for key in keys if key in criteria}, (CRITERIA,))


@needs(CRITERIA)
def metrics(sources: Sources) -> Answer:
    """Return the acceptance criteria, one row each."""
    return Found([_criterion(row) for row in sources.content(CRITERIA)["criteria"]], (CRITERIA,))


@needs(CARD)
def capabilities_limits(sources: Sources) -> Answer:
    """Return what the card says of purpose, exclusions and limits, as it is written there."""
    card = sources.content(CARD)
    limits = items(part(card, *LIMITS))
    if not limits:
        return Missing("the card has no part on limits")
    value: dict[str, Any] = {"capabilities": part(card, "intended purpose")}
    if part(card, "not meant for"):
        value["not_meant_for"] = part(card, "not meant for")
    return Found(value | {"limits": list(limits)}, (CARD,))


@needs(MANIFEST)
def input_specs(sources: Sources) -> Answer:
    """Return inputs and envelope: what is checked before anything is computed."""
    return Found(input_specification(sources.content(MANIFEST)), (MANIFEST,))


def input_specification(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the input specification of a manifest in words and numbers."""
    envelope = manifest.get("envelope", {})
    value: dict[str, Any] = {
        "inputs": [
            {
                "role": row["role"],
                "modality": row["modality"],
                "required": "yes" if row["required"] else "no",
                "least_instances": row["minimum_instances"],
            }
            for row in manifest["inputs"]
        ]
    }
    for key, unit in _RANGES:
        if envelope.get(key):
            value[key] = f"{envelope[key][0]:g} to {envelope[key][1]:g} {unit}".strip()
    if envelope.get("oblique_deg") is not None:
        value["oblique_deg"] = f"at most {envelope['oblique_deg']:g} degrees"
    if envelope.get("trained_field_mm"):
        sizes = " x ".join(f"{size:.0f}" for size in envelope["trained_field_mm"])
        value["trained_field_mm"] = f"{sizes} mm (z, y, x) without a seed point"
    if envelope.get("prescription_required"):
        value["prescription_required"] = "yes"
    for key in ("body_parts", "quality_flags_refused", "kernels_refused", "required_structures"):
        if envelope.get(key):
            value[key] = ", ".join(envelope[key])
    return value


_RANGES = (
    ("age_years", "years"), ("slice_spacing_mm", "mm"), ("in_plane_mm", "mm"), ("frames", ""),
)  # fmt: skip


def _has_weights(sources: Sources) -> bool:
    return any(name.startswith("weights/") for name in sources.content(MANIFEST)["members"])


def _trained(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "weights": str(row.get("file", ""))[:12],
        "role": row.get("role", ""),
        "fold": row.get("fold", ""),
        "patients": len(row.get("trained_on", ())),
        "source": row.get("source", ""),
        "licence": row.get("licence", ""),
    }


def _criterion(row: Mapping[str, Any]) -> dict[str, Any]:
    bound = f"at least {row['at_least']:g}" if "at_least" in row else f"at most {row['at_most']:g}"
    return {
        "id": row["id"],
        "given": row["given"],
        "stratum": row["stratum"],
        "metric": row["metric"],
        "statistic": row["statistic"],
        "bound": bound,
        "reason": row.get("reason", ""),
    }


# Drafts: what a person starts from; the field is complete when the person signed.


@needs(CARD)
def method_draft(sources: Sources) -> Answer:
    """Return the card's part on the method."""
    text = part(sources.content(CARD), "method")
    return Found(text, (CARD,)) if text else Missing("the card has no part on the method")


@needs(MANIFEST)
def recipes_draft(sources: Sources) -> Answer:
    """Return the training recipes by their digest."""
    rows = sources.content(MANIFEST).get("training", ())
    if not rows:
        return Missing("no training manifest")
    recipes = {row.get("recipe_digest", "") for row in rows}
    return Found({"recipes": sorted(recipes), "trained": len(rows)}, (MANIFEST,))


@needs(MANIFEST)
def tools_draft(sources: Sources) -> Answer:
    """Return the libraries that the released code imports."""
    pins = sources.content(MANIFEST).get("runtime", {}).get("pins", {})
    rows = [{"library": name, "version": pin} for name, pin in pins.items()]
    return Found(rows, (MANIFEST,)) if rows else Missing("the release imports no library")


@needs(MANIFEST)
def target_groups_draft(sources: Sources) -> Answer:
    """Return ages and body parts of the envelope."""
    specification = input_specification(sources.content(MANIFEST))
    value = {key: specification[key] for key in ("age_years", "body_parts") if key in specification}
    return Found(value, (MANIFEST,)) if value else Missing("the envelope limits no group")


@needs(MANIFEST)
def outputs_draft(sources: Sources) -> Answer:
    """Return the outputs with their codes."""
    rows = sources.content(MANIFEST)["outputs"]
    keys = ("name", "kind", "code_value", "code_scheme", "code_meaning")
    return Found([{key: row[key] for key in keys} for row in rows], (MANIFEST,))


@needs(MANIFEST)
def parameters_draft(sources: Sources) -> Answer:
    """Return the parameters and their values in this release."""
    values = dict(sources.content(MANIFEST).get("parameters", {}))
    return Found(values, (MANIFEST,)) if values else Missing("the release has no parameters")


@needs(MANIFEST)
def architecture_draft(sources: Sources) -> Answer:
    """Return the packages and the weight files."""
    flow = component_flow(sources)
    if not isinstance(flow, Found):
        return flow
    value = {key: flow.value[key] for key in ("packages", "weights", "entry_point")}
    return Found(value, (MANIFEST,))


RULES: dict[str, Rule] = {
    "p1.a.version": version,
    "p1.a.previous_versions": previous_versions,
    "p1.b.interactions": interactions,
    "p1.c.software_versions": software_versions,
    "p1.c.update_requirements": update_requirements,
    "p1.d.forms_of_supply": forms_of_supply,
    "p1.e.hardware": hardware,
    "p2.c.component_flow": component_flow,
    "p2.d.datasheets": datasheets,
    "p2.g.vv_procedures": vv_procedures,
    "p3.capabilities_limits": capabilities_limits,
    "p3.input_specs": input_specs,
}
DRAFTS: dict[str, Rule] = {
    "p2.a.methods_steps": recipes_draft,
    "p2.a.third_party_tools": tools_draft,
    "p2.b.general_logic": method_draft,
    "p2.b.target_groups": target_groups_draft,
    "p2.b.classification_choices": outputs_draft,
    "p2.b.parameter_relevance": parameters_draft,
    "p2.b.expected_output_quality": metrics,
    "p2.c.architecture": architecture_draft,
}
