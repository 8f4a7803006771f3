"""The AID-RT model card of a segmentation model as JSON: six sections of the ESTRO template.

Section and field names are those of the public template's schema.  A field that the template
requires and no source states prints MISSING; an optional one is left out.

Source: Barragán-Montero et al., Phys Imaging Radiat Oncol 2026, doi 10.1016/j.phro.2026.100940;
template schema of the RT-Model-Card writing tool (UCLouvain, 4 September 2025).

Read next: `chai.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.cards.facts import MISSING, CardFacts
from governance.technical_file.contents_evidence import figures

SCHEMA = "osteon.card.aid_rt/1"
SECTIONS = (
    "card_metadata", "model_basic_information", "technical_specifications", "training_data",
    "evaluation_data_methodology_results_commisioning", "other_considerations",
)  # fmt: skip
"""Names as the template's schema spells them."""
_MODALITY = {
    "CT": "CT (Computed Tomography)",
    "PT": "PT (Positron Emission Tomography)",
    "MR": "MR SEQ",
}
_NOT_MEASURED = (
    "type_dose_dm_seg", "metric_specifications_dm_seg", "on_volume_dm_seg",
    "treatment_modality_dm_seg", "dose_engine_dm_seg", "dose_grid_resolution_dm_seg",
    "mean_data_dm_seg", "likert_scoring_method", "likert_scoring_results", "turing_test_method",
    "turing_test_results", "time_saving_method", "time_saving_results",
)  # fmt: skip
"""Evaluations that the template asks for and no source of a release holds: dose, reader study."""


def aid_rt(facts: CardFacts) -> dict[str, Any]:
    """Return the card; ``task`` is Segmentation, and figures name the report they come from."""
    evaluation = _evaluation(facts)
    return {
        "schema": SCHEMA,
        "task": "Segmentation",
        "release_digest": facts.release_digest,
        "report_sha256": facts.accuracy.report_sha256 if facts.accuracy else MISSING,
        "card_metadata": {
            "card_creation_date": MISSING,
            "version_number": facts.version,
            "version_changes": facts.stated("p6.lifecycle_changes"),
        },
        "model_basic_information": _basic(facts),
        "technical_specifications": _technical(facts),
        "training_data": _training(facts),
        "evaluation_data_methodology_results_commisioning": evaluation,
        "other_considerations": {
            "responsible_use_and_ethical_considerations": facts.text("not meant for"),
            "risk_analysis": "; ".join(facts.hazards) or MISSING,
            "post_market_surveillance_live_monitoring": facts.monitoring,
        },
    }


def missing_fields(card: Mapping[str, Any]) -> tuple[str, ...]:
    """Return ``section.field`` of every field that prints MISSING."""
    return tuple(
        f"{section}.{name}"
        for section in SECTIONS
        for name, value in _flat(card[section]).items()
        if value == MISSING
    )


def _basic(facts: CardFacts) -> dict[str, Any]:
    return {
        "name": facts.title,
        "creation_date": MISSING,
        "version_number": facts.version,
        "version_changes": facts.stated("p6.lifecycle_changes"),
        "model_scope_summary": facts.purpose,
        "model_scope_anatomical_site": "Other",
        "clearance_type": facts.stage,
        "clearance_approved_by_name": MISSING,
        "clearance_approved_by_institution": MISSING,
        "clearance_approved_by_contact_email": MISSING,
        "intended_users": facts.stated("p1.a.intended_purpose"),
        "observed_limitations": " ".join(facts.limits) or MISSING,
        "type_of_learning_architecture": facts.text("method"),
        "developed_by_name": facts.developer,
        "developed_by_institution": facts.developer,
        "developed_by_email": facts.contact,
        "conflict_of_interest": MISSING,
        "software_license": "Apache-2.0",
    }


def _technical(facts: CardFacts) -> dict[str, Any]:
    limits, runtime = facts.manifest.get("limits", {}), facts.manifest.get("runtime", {})
    pins = runtime.get("pins", {})
    weights = [n for n in facts.manifest.get("members", {}) if n.startswith("weights/")]
    return {
        "model_pipeline_summary": facts.text("method"),
        "model_inputs": [_MODALITY.get(m, "OT (Other)") for m in facts.modalities()] or MISSING,
        "model_outputs": "RTSTRUCT" if facts.manifest else MISSING,
        "pre_processing": facts.text("input"),
        "post_processing": facts.text("output"),
        "learning_architecture": {
            "total_number_trainable_parameters": facts.stated("p2.c.architecture"),
            "number_of_inputs": len(facts.modalities()) or MISSING,
            "input_content": list(facts.modalities()) or MISSING,
            "input_size": facts.specification.get("trained_field_mm", MISSING),
            "number_of_outputs": len(facts.manifest.get("outputs", ())) or MISSING,
            "output_content": [row["name"] for row in facts.manifest.get("outputs", ())] or MISSING,
            "output_size": facts.text("output"),
            "loss_function": facts.stated("p2.b.optimisation_target"),
            "architecture_figure": MISSING,
            "uncertainty_quantification_techniques": facts.text("output"),
            "explainability_techniques": facts.text("explanation"),
            "additional_information_ts": f"{len(weights)} weight files in one release",
        },
        "hw_and_sw": {
            "libraries_and_dependencies": ", ".join(f"{k} {v}" for k, v in pins.items()) or MISSING,
            "hardware_recommended": f"{limits.get('threads', '?')} threads, "
            f"{limits.get('memory_mb', '?')} MB",
        },
    }


def _training(facts: CardFacts) -> dict[str, Any]:
    rows = facts.manifest.get("training", ())
    patients = {name for row in rows for name in row.get("trained_on", ())}
    sources = sorted({str(row.get("source", "")) for row in rows} - {""})
    recipes = sorted({str(row.get("recipe_digest", "")) for row in rows} - {""})
    return {
        "total_size": [len(patients)] if patients else MISSING,
        "number_of_patients": len(patients) or MISSING,
        "source": "; ".join(sources) or MISSING,
        "acquisition_period": MISSING,
        "inclusion_exclusion_criteria": facts.text("data"),
        "type_of_data_augmentation": facts.stated("p2.a.methods_steps"),
        "strategy_for_data_augmentation": facts.stated("p2.a.methods_steps"),
        "model_name": facts.stated("p2.a.third_party_tools"),
        "url_doi_to_model_card": MISSING,
        "tuning_technique": facts.stated("p2.a.third_party_tools"),
        **_images(facts),
        "reference_standard": facts.text("data"),
        "reference_standard_qa": MISSING,
        "age": facts.text("data"),
        "sex": MISSING,
        "validation_strategy": facts.accuracy.method if facts.accuracy else MISSING,
        "validation_data_partition": f"{len(rows)} folds" if rows else MISSING,
        "train_and_validation_loss_curves": MISSING,
        "model_choice_criteria": facts.stated("p2.b.design_choices"),
        "inference_method": facts.text("method"),
        "recipe_digests": recipes,
    }


def _evaluation(facts: CardFacts) -> dict[str, Any]:
    measured = facts.accuracy
    rows = figures(measured, measured.groups) if measured else []
    overall = [row for row in rows if row["about"] == "all"]
    persons = sorted({row["group"] for row in rows if row["about"] == "person"})
    return {
        "evaluation_date": MISSING,
        "evaluated_by_name": MISSING,
        "evaluated_by_institution": MISSING,
        "evaluated_by_contact_email": MISSING,
        "evaluation_frame": measured.method if measured else MISSING,
        "total_size": [max(g.n for g in measured.overall())] if measured else MISSING,
        "number_of_patients": max(g.n for g in measured.overall()) if measured else MISSING,
        "source": facts.text("data"),
        "acquisition_period": MISSING,
        "inclusion_exclusion_criteria": facts.text("data"),
        **_images(facts),
        "reference_standard": facts.text("data"),
        "reference_standard_qa": MISSING,
        "age_ev": ", ".join(persons) or MISSING,
        "sex_ev": ", ".join(persons) or MISSING,
        "type_gm_seg": [m.title for m in measured.metrics] if measured else MISSING,
        "metric_specifications_gm_seg": measured.interval if measured else MISSING,
        "on_volume_gm_seg": [r["name"] for r in facts.manifest.get("outputs", ())] or MISSING,
        "mean_data_gm_seg": overall or MISSING,
        "by_group": [row for row in rows if row["about"] != "all"],
        **dict.fromkeys(_NOT_MEASURED, MISSING),
        "uncertainty_metrics_method": facts.text("output"),
        "uncertainty_metrics_results": MISSING,
        "evaluators_information": MISSING,
        "explainability": facts.text("explanation"),
    }


def _images(facts: CardFacts) -> dict[str, Any]:
    envelope = facts.specification
    return {
        "image_resolution": envelope.get("slice_spacing_mm", MISSING),
        "patient_positioning": MISSING,
        "scanner_model": MISSING,
        "scan_acquisition_parameters": MISSING,
        "scan_reconstruction_parameters": MISSING,
        "fov": envelope.get("trained_field_mm", MISSING),
    }


def _flat(section: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in section.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": item for inner, item in value.items()}
        else:
            found[name] = value
    return found
