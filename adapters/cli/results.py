"""The document that `demo` and `run` print: what ran, what was written, what was verified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from adapters.cli.terminal import echo_table
from adapters.run_record import inference_body, unwritten_refusal

if TYPE_CHECKING:
    from adapters.compose import Site

ARRIVED = ("verified",)


def results_document(site: Site, run_ids: tuple[str, ...], seconds: float) -> dict[str, Any]:
    """Return what the runs did, as JSON values."""

    runs = [_run(site, run_id) for run_id in run_ids]
    summary = site.verify_log()
    return {
        "seconds": round(seconds, 3),
        "mode": site.configuration.site.mode,
        "runs": runs,
        "audit": {
            "size": summary.tree_size,
            "root_hash": summary.root_hash,
            "verified": True,
        },
    }


def _run(site: Site, run_id: str) -> dict[str, Any]:
    from adapters.delivery.delivery import key_of

    with site.database.reading() as transaction:
        row = transaction.run(run_id)
        documents = transaction.documents(run_id)
        deliveries = transaction.deliveries(run_id)
        facts = inference_body(transaction, run_id)
        unwritten = unwritten_refusal(transaction, run_id)
        marks = transaction.marks(run_id)
    assert row is not None
    states: dict[str, list[str]] = {}
    for delivery in deliveries:
        states.setdefault(delivery.document_key, []).append(delivery.state)
    outputs = [
        {
            "kind": document.kind,
            "sop_class_uid": document.sop_class_uid,
            "sop_instance_uid": document.sop_instance_uid,
            "path": str(document.path),
            "verified": bool(states.get(key)) and all(s in ARRIVED for s in states[key]),
            "targets": {
                d.target: d.state + (f" ({d.reason})" if d.reason else "")
                for d in deliveries
                if d.document_key == key
            },
        }
        for document in documents
        for key in [key_of(document)]
    ]
    bundle = next((str(d.path) for d in documents if d.kind == "FHIR"), None)
    return {
        "run_id": run_id,
        "plugin": row.plugin,
        "plugin_version": row.plugin_version,
        "release_digest": row.release_digest,
        "study_instance_uid": row.study_instance_uid,
        "status": row.status,
        "reason": row.reason,
        "unwritten": unwritten,
        "marks": list(marks),
        "mode": row.mode,
        "outputs": outputs,
        "findings": facts.get("output", {}).get("rois", []),
        "doses": facts.get("output", {}).get("doses", []),
        "uncertainty": facts.get("uncertainty", {}),
        "explanation": facts.get("explanation", {}),
        "fhir_bundle": bundle,
        "overviews": sorted(str(p) for p in (site.home.outbox / run_id).glob("*.png")),
    }


def show_results(document: dict[str, Any]) -> None:
    """Print the document as readable tables."""
    for run in document["runs"]:
        typer.echo(
            f"\n{run['plugin']} {run['plugin_version']} ({run['mode']}): {run['status']} "
            f"{run['reason']}".rstrip()
        )
        typer.echo(f"  run {run['run_id']}, release {run['release_digest'][:19]}…")
        if run["unwritten"]:
            typer.echo(f"  no report of this was written: {run['unwritten']}")
        for mark in run["marks"]:
            typer.echo(f"  note: {mark}")
        if run["findings"]:
            echo_table(
                "Findings (unapproved)",
                ("structure", "volume", "max. diameter"),
                [
                    (f["name"], f"{f['volume_ml']:.1f} ml", f"{f['max_diameter_mm']:.1f} mm")
                    for f in run["findings"]
                ],
            )
        for dose in run["doses"]:
            _show_dose(dose)
        if run["outputs"]:
            echo_table(
                "Written",
                ("kind", "where", "state at each target", "verified"),
                [
                    (
                        o["kind"],
                        o["path"],
                        "; ".join(f"{k}: {v}" for k, v in o["targets"].items()),
                        "yes" if o["verified"] else "NO",
                    )
                    for o in run["outputs"]
                ],
            )
        for picture in run["overviews"]:
            typer.echo(f"  overview: {picture}")
    audit = document["audit"]
    typer.echo(
        f"\naudit log: {audit['size']} records, root {audit['root_hash'][:16]}…, verified; "
        f"{document['seconds']:.1f} s in all"
    )
    typer.echo("Research use: nothing here is approved for treatment.")


def _show_dose(dose: Mapping[str, Any]) -> None:
    """Print the points of a predicted dose and the goals of the protocol."""
    echo_table(
        f"Predicted dose (unapproved, not for treatment), at most {dose['most_gy']:.1f} Gy",
        ("structure", "point", "predicted", "90 % interval"),
        [
            (
                point["region"],
                point["point"],
                f"{point['value']:.1f} {point['unit']}",
                f"{point['low']:.1f} to {point['high']:.1f}" if "low" in point else "-",
            )
            for point in dose["points"]
        ],
    )
    if dose["goals"]:
        echo_table(
            "Goals of the protocol",
            ("structure", "goal", "predicted"),
            [
                (
                    goal["region"],
                    f"{goal['point']} {'<=' if goal['sense'] == 'at-most' else '>='} "
                    f"{goal['limit']:g}",
                    goal["verdict"],
                )
                for goal in dose["goals"]
            ],
        )
