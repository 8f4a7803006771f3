"""`osteon gamma`, `dvh`, `compare-contours`: the numerics by hand, on DICOM files.

They need no site and record nothing.  Read next: `adapters/rt/dosimetry.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from adapters.cli.terminal import REFUSED, JsonOption, echo_json, echo_table
from audit.errors import ConfigurationError, GeometryError, InputError

if TYPE_CHECKING:
    from adapters.rt.dosimetry import GammaResult
    from models.physics.dvh import DoseVolumeHistogram
    from plugins.host.images import RegionOfInterest, StructureSet, Volume

Read = TypeVar("Read")
PngOption = Annotated[
    Path | None, typer.Option("--png", help="Write a picture here.", show_default=False)
]
HISTOGRAM_STEP = 0.05
OPTIONS = "Correct the option; `osteon {command} --help` says what it takes."
"""What to do about an option that cannot be used: no setting of a site is behind it."""
NAME_TWICE = "expected a name once in a structure set, found it twice"


def gamma(
    reference: Annotated[Path, typer.Argument(help="RTDOSE that is taken as true.")],
    evaluated: Annotated[Path, typer.Argument(help="RTDOSE that is judged.")],
    dose_percent: Annotated[float, typer.Option(help="Allowed difference of dose.")] = 3.0,
    distance_mm: Annotated[float, typer.Option(help="Allowed distance.")] = 2.0,
    cutoff_percent: Annotated[
        float, typer.Option(help="Reference doses below this share of the maximum do not count.")
    ] = 10.0,
    local: Annotated[
        bool, typer.Option("--local", help="Percent of the dose at the point, not the maximum.")
    ] = False,
    max_gamma: Annotated[float, typer.Option(help="How far to search.")] = 2.0,
    normalisation_gy: Annotated[
        float | None, typer.Option(help="Dose of 100 %; else the reference maximum.")
    ] = None,
    png: PngOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two doses by the gamma index, in two or three dimensions.

    The pass rate is that of samples at a tenth of the distance, as is common; that of the true
    minimum stands beside it.
    """
    from adapters.rt.dosimetry import compare_doses
    from models.physics.gamma import GammaCriteria

    try:
        criteria = GammaCriteria(
            dose_percent, distance_mm, cutoff_percent, local, max_gamma, normalisation_gy
        )
    except ValueError as error:
        raise _bad_option("gamma", str(error)) from error
    (first, first_patient), (second, second_patient) = _dose(reference), _dose(evaluated)
    result = compare_doses(first, second, criteria)
    document = _gamma_document(result)
    document["notes"] += _patient_notes(first_patient, second_patient)
    if png:
        from adapters.documents.plots import gamma_png
        from adapters.writing import write_whole

        rate = document["pass_rate_percent"]
        write_whole(
            png, gamma_png(result.sampled, f"{rate:.2f} % pass" if rate is not None else "none")
        )
    if as_json:
        return echo_json(document)
    _show_gamma(document)


def _bad_option(command: str, message: str) -> ConfigurationError:
    return ConfigurationError(message, advice=OPTIONS.format(command=command))


def _gamma_document(result: GammaResult) -> dict[str, Any]:
    import numpy as np

    from adapters.rt.dosimetry import SAMPLES, pass_rate_percent

    judged = result.sampled[~np.isnan(result.sampled)]
    edges = np.arange(0.0, result.criteria.max_gamma + HISTOGRAM_STEP * 1.5, HISTOGRAM_STEP)
    counts, _ = np.histogram(judged, edges)
    criteria = asdict(result.criteria)
    del criteria["samples"], criteria["passing_only"]
    criteria["normalisation_gy"] = _number(result.normalisation_gy)
    return {
        "criteria": criteria,
        "dimensions": 2 if result.sampled.shape[0] == 1 else 3,
        "judged_points": result.judged_count,
        "points_outside_evaluated_grid": result.outside_count,
        "pass_rate_percent": _number(pass_rate_percent(result.sampled)),
        "search": f"samples at {1 / SAMPLES:g} of the distance",
        "gamma": {
            "mean": _number(float(judged.mean()) if judged.size else math.nan),
            "p99": _number(float(np.percentile(judged, 99)) if judged.size else math.nan),
            "maximum": _number(float(judged.max(initial=0.0))),
        },
        "true_minimum": {"pass_rate_percent": _number(pass_rate_percent(result.true))},
        "histogram": {
            "step": HISTOGRAM_STEP,
            "from": 0.0,
            "counts": [int(count) for count in counts],
        },
        "notes": list(result.notes),
    }


def _show_gamma(document: dict[str, Any]) -> None:
    criteria = document["criteria"]
    kind = "local" if criteria["local"] else "global"
    found = document["gamma"]
    rows = [
        ("criteria", f"{criteria['dose_percent']:g} %, {criteria['distance_mm']:g} mm, {kind}"),
        (
            "cutoff, dose of 100 %",
            f"{criteria['cutoff_percent']:g} %, {criteria['normalisation_gy']:.3f} Gy",
        ),
        ("points judged", f"{document['judged_points']} ({document['dimensions']}D)"),
        ("pass rate", f"{_text(document['pass_rate_percent'], '.2f')} % ({document['search']})"),
        (
            "pass rate, true minimum",
            f"{_text(document['true_minimum']['pass_rate_percent'], '.2f')} %",
        ),
        ("γ mean, 99 %, maximum", ", ".join(_text(found[k], ".3f") for k in found)),
        ("γ is searched up to", f"{criteria['max_gamma']:g}"),
    ]
    if outside := document["points_outside_evaluated_grid"]:
        rows.append(("points outside the evaluated grid", str(outside)))
    echo_table("Gamma index", ("figure", "value"), rows + [("note", n) for n in document["notes"]])


def dvh(
    rtstruct: Annotated[Path, typer.Option("--rtstruct", help="Structure set.")],
    rtdose: Annotated[Path, typer.Option("--rtdose", help="Dose.")],
    metric: Annotated[
        list[str] | None,
        typer.Option(help="D95%, D0.1cc, V20Gy, V20Gy[cc], gEUD(8) …; repeatable."),
    ] = None,
    roi: Annotated[list[str] | None, typer.Option(help="Only regions of this name.")] = None,
    png: PngOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read dose figures of every region from its contours.

    Ends of a region are rounded where its areas run out within a plane spacing, else they reach
    half a spacing beyond the last contour. Regions of one name carry their number.
    """
    from models.physics.dose_metrics import USUAL, DoseMetric

    try:
        metrics = [DoseMetric.parse(text) for text in metric or USUAL]
    except ValueError as error:
        raise _bad_option("dvh", str(error)) from error
    (structures, first), (dose, second) = _structures(rtstruct), _dose(rtdose)
    notes = _frame_notes(
        structures.frame_of_reference_uid, dose.geometry.frame_of_reference_uid
    ) + _patient_notes(first, second)
    histograms, not_measured = _histograms(_named_apart(_regions(structures, roi)), dose)
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "volume_ml": round(found.total_mm3 / 1000.0, 6),
            "outside_dose_grid_ml": round(found.outside_mm3 / 1000.0, 6),
            "metrics": {m.name: {"value": _number(m.of(found)), "units": m.units} for m in metrics},
        }
        for name, found in histograms.items()
    ]
    if not rows:
        raise InputError("expected a region with closed contours, found none")
    if png:
        from adapters.documents.plots import dvh_png
        from adapters.writing import write_whole

        write_whole(png, dvh_png(histograms))
    if as_json:
        return echo_json({"regions": rows, "not_measured": not_measured, "notes": notes})
    echo_table(
        "Dose by region",
        ("region", "volume", *(f"{m.name} ({m.units})" for m in metrics), "outside the dose"),
        [
            (
                row["name"],
                f"{row['volume_ml']:.2f} ml",
                *(_text(value["value"], ".2f") for value in row["metrics"].values()),
                f"{row['outside_dose_grid_ml']:.2f} ml",
            )
            for row in rows
        ],
    )
    _say_rest(not_measured, notes)


def compare_contours(
    contours: Annotated[Path, typer.Argument(help="RTSTRUCT that is judged.")],
    reference: Annotated[Path, typer.Argument(help="RTSTRUCT that is taken as true.")],
    tolerance_mm: Annotated[float, typer.Option(help="Tolerance of the surface Dice.")] = 3.0,
    as_json: JsonOption = False,
) -> None:
    """Compare regions of the same name: DSC, surface Dice, HD95, added path length, volume.

    A name that stands twice in one set is not compared. Exit code 3 where nothing was compared.
    """
    from adapters.oversight.contours import common_masks
    from models.physics.agreement import compare_masks

    if not tolerance_mm > 0:
        raise _bad_option(
            "compare-contours", f"expected a positive tolerance, found {tolerance_mm}"
        )
    (first, one), (second, other) = _structures(contours), _structures(reference)
    notes = _frame_notes(first.frame_of_reference_uid, second.frame_of_reference_uid)
    notes += _patient_notes(one, other)
    ours, theirs = (_by_name(_regions(side, None)) for side in (first, second))
    rows: list[dict[str, Any]] = []
    not_measured: list[dict[str, str]] = []
    for key in [key for key in ours if key in theirs]:
        pair = (ours[key], theirs[key])
        name = pair[0][0].name
        if any(len(found) > 1 for found in pair):
            not_measured.append({"name": name, "reason": NAME_TWICE})
            continue
        try:
            masks = common_masks(pair[0][0].contours, pair[1][0].contours)
        except GeometryError as error:
            not_measured.append({"name": name, "reason": str(error)})
            continue
        found = compare_masks(*masks, tolerance_mm)
        rows.append({"name": name, **{k: _number(value) for k, value in asdict(found).items()}})
    alone = {
        "only_first": [found[0].name for key, found in ours.items() if key not in theirs],
        "only_second": [found[0].name for key, found in theirs.items() if key not in ours],
    }
    if as_json:
        echo_json({"regions": rows, **alone, "not_measured": not_measured, "notes": notes})
    else:
        _show_contours(rows, tolerance_mm, alone)
        _say_rest(not_measured, notes)
    if not rows:
        raise typer.Exit(REFUSED)


def _show_contours(
    rows: list[dict[str, Any]], tolerance_mm: float, alone: dict[str, list[str]]
) -> None:
    echo_table(
        f"Contours, surface Dice at {tolerance_mm:g} mm",
        ("region", "DSC", "surface Dice", "HD95 (mm)", "added path (mm)", "volumes (ml)"),
        [
            (
                row["name"],
                _text(row["dsc"], ".4f"),
                _text(row["surface_dice"], ".4f"),
                _text(row["hd95_mm"], ".2f"),
                _text(row["added_path_length_mm"], ".0f"),
                f"{row['volume_ml']:.2f}, {row['reference_volume_ml']:.2f}",
            )
            for row in rows
        ],
    )
    for title, names in zip(("in the first", "in the second"), alone.values(), strict=True):
        if names:
            typer.echo(f"only {title}: {', '.join(names)}")


def _say_rest(not_measured: list[dict[str, str]], notes: list[str]) -> None:
    """Print what is not in the table, and notes."""
    for item in not_measured:
        typer.echo(f"not measured: {item['name']} ({item['reason']})")
    for note in notes:
        typer.echo(f"note: {note}")


def _frame_notes(first: str, second: str) -> list[str]:
    """Return a note where a frame of reference is not stated; two different ones are refused."""
    if first and second and first != second:
        raise GeometryError("expected objects of one frame of reference, found two")
    return [] if first and second else ["FRAME_OF_REFERENCE_MISSING"]


def _patient_notes(first: str, second: str) -> list[str]:
    """Return a note where two objects state different patients."""
    from adapters.rt.dosimetry import PATIENTS_DIFFER

    return [PATIENTS_DIFFER] if first != second else []


def _histograms(
    regions: list[RegionOfInterest], dose: Volume
) -> tuple[dict[str, DoseVolumeHistogram], list[dict[str, str]]]:
    """Return the histograms of regions by name, and which have none with the reason."""
    from adapters.rt.dosimetry import region_histograms

    found: dict[str, DoseVolumeHistogram] = {}
    missing = []
    for region in regions:
        try:
            measured = region_histograms([region], dose)
        except GeometryError as error:
            missing.append({"name": region.name, "reason": str(error)})
            continue
        found |= measured
        if not measured:
            missing.append({"name": region.name, "reason": "expected closed contours, found none"})
    return found, missing


def _named_apart(regions: list[RegionOfInterest]) -> list[RegionOfInterest]:
    """Return regions of which those of one name carry their number."""
    together = _by_name(regions)
    return [
        replace(region, name=f"{region.name.strip()} (ROI {region.number})")
        if len(together[_key(region)]) > 1
        else region
        for region in regions
    ]


def _by_name(regions: list[RegionOfInterest]) -> dict[str, list[RegionOfInterest]]:
    """Return regions by name, whatever its case."""
    found: dict[str, list[RegionOfInterest]] = {}
    for region in regions:
        found.setdefault(_key(region), []).append(region)
    return found


def _dose(path: Path) -> tuple[Volume, str]:
    """Return a dose and whose it is."""
    from adapters.rt.read_dose import read_dose

    # A plane of a measurement has no thickness, and nothing here asks for one.
    volume, series = _read(path, lambda: read_dose(path, thickness_mm=1.0))
    return volume, str(series.first.get("PatientID") or "").strip()


def _structures(path: Path) -> tuple[StructureSet, str]:
    """Return a structure set and whose it is."""
    from adapters.rt.read_structures import read_structures

    structures, series = _read(path, lambda: read_structures(path))
    return structures, str(series.first.get("PatientID") or "").strip()


def _read(path: Path, reader: Callable[[], Read]) -> Read:
    """Return what the reader gives; a missing file and a refused one are named by place."""
    if not path.is_file():
        raise InputError(f"expected a file, found none at {path}")
    return reader()


def _regions(structures: StructureSet, names: list[str] | None) -> list[RegionOfInterest]:
    wanted = {name.casefold() for name in names or ()}
    found = [r for r in structures.rois if not wanted or _key(r) in wanted]
    missing = wanted - {_key(r) for r in found}
    if missing:
        raise InputError(f"expected regions of these names, {len(missing)} not found")
    return found


def _key(region: RegionOfInterest) -> str:
    return region.name.strip().casefold()


def _number(value: float | None) -> float | None:
    """Return a number as JSON can say it: six digits, nothing for NaN and infinity."""
    return None if value is None or not math.isfinite(value) else round(value, 6)


def _text(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
