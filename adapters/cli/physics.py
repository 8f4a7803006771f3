"""`osteon gamma`, `dvh`, `compare-contours`: the numerics by hand, on DICOM files.

They need no site and record nothing.  Read next: `adapters/rt/dosimetry.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from adapters.cli.terminal import JsonOption, echo_json, echo_table
from audit.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    from adapters.rt.dosimetry import GammaResult
    from plugins.host.images import RegionOfInterest, StructureSet, Volume

Read = TypeVar("Read")
PngOption = Annotated[
    Path | None, typer.Option("--png", help="Write a picture here.", show_default=False)
]
HISTOGRAM_STEP = 0.05


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
        raise ConfigurationError(str(error)) from error
    result = compare_doses(_dose(reference), _dose(evaluated), criteria)
    document = _gamma_document(result)
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


def _gamma_document(result: GammaResult) -> dict[str, Any]:
    import numpy as np

    from adapters.rt.dosimetry import SAMPLES, pass_rate_percent

    judged = result.sampled[~np.isnan(result.sampled)]
    edges = np.arange(0.0, result.criteria.max_gamma + HISTOGRAM_STEP * 1.5, HISTOGRAM_STEP)
    counts, _ = np.histogram(judged, edges)
    criteria = asdict(result.criteria)
    del criteria["samples"]
    return {
        "criteria": criteria,
        "dimensions": 2 if result.sampled.shape[0] == 1 else 3,
        "judged_points": result.judged_count,
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
        ("cutoff", f"{criteria['cutoff_percent']:g} %"),
        ("points judged", f"{document['judged_points']} ({document['dimensions']}D)"),
        ("pass rate", f"{_text(document['pass_rate_percent'], '.2f')} % ({document['search']})"),
        (
            "pass rate, true minimum",
            f"{_text(document['true_minimum']['pass_rate_percent'], '.2f')} %",
        ),
        ("γ mean, 99 %, maximum", ", ".join(_text(found[k], ".3f") for k in found)),
    ]
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
    half a spacing beyond the last contour.
    """
    from adapters.rt.dosimetry import FRAMES_DIFFER, region_histograms
    from models.physics.dose_metrics import USUAL, DoseMetric

    try:
        metrics = [DoseMetric.parse(text) for text in metric or USUAL]
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    structures, dose = _structures(rtstruct), _dose(rtdose)
    histograms = region_histograms(_regions(structures, roi), dose)
    rows: list[dict[str, Any]] = []
    for name, found in histograms.items():
        rows.append(
            {
                "name": name,
                "volume_ml": round(found.total_mm3 / 1000.0, 6),
                "outside_dose_grid_ml": round(found.outside_mm3 / 1000.0, 6),
                "metrics": {
                    m.name: {"value": _number(m.of(found)), "units": m.units} for m in metrics
                },
            }
        )
    if not rows:
        raise InputError("expected a region with closed contours, found none")
    if png:
        from adapters.documents.plots import dvh_png
        from adapters.writing import write_whole

        write_whole(png, dvh_png(histograms))
    frames = {structures.frame_of_reference_uid, dose.geometry.frame_of_reference_uid}
    notes = [FRAMES_DIFFER] if len(frames) > 1 else []
    if as_json:
        return echo_json({"regions": rows, "notes": notes})
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
    for note in notes:
        typer.echo(f"note: {note}")


def compare_contours(
    contours: Annotated[Path, typer.Argument(help="RTSTRUCT that is judged.")],
    reference: Annotated[Path, typer.Argument(help="RTSTRUCT that is taken as true.")],
    tolerance_mm: Annotated[float, typer.Option(help="Tolerance of the surface Dice.")] = 3.0,
    as_json: JsonOption = False,
) -> None:
    """Compare regions of the same name: DSC, surface Dice, HD95, added path length, volume."""
    from adapters.oversight.contours import common_masks
    from models.physics.agreement import compare_masks

    if not tolerance_mm > 0:
        raise ConfigurationError(f"expected a positive tolerance, found {tolerance_mm}")
    first, second = _structures(contours), _structures(reference)
    if first.frame_of_reference_uid != second.frame_of_reference_uid:
        raise InputError("expected structure sets of one frame of reference, found two")
    ours, theirs = ({_key(r): r for r in _regions(side, None)} for side in (first, second))
    rows: list[dict[str, Any]] = []
    for key in [key for key in ours if key in theirs]:
        masks = common_masks(ours[key].contours, theirs[key].contours)
        found = compare_masks(*masks, tolerance_mm)
        figures = {name: _number(value) for name, value in asdict(found).items()}
        rows.append({"name": ours[key].name, **figures})
    alone = {
        "only_first": [ours[key].name for key in ours if key not in theirs],
        "only_second": [theirs[key].name for key in theirs if key not in ours],
    }
    if as_json:
        return echo_json({"regions": rows, **alone})
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


def _dose(path: Path) -> Volume:
    from adapters.rt.read_dose import read_dose

    # A plane of a measurement has no thickness, and nothing here asks for one.
    return _read(path, lambda: read_dose(path, thickness_mm=1.0)[0])


def _structures(path: Path) -> StructureSet:
    from adapters.rt.read_structures import read_structures

    return _read(path, lambda: read_structures(path)[0])


def _read(path: Path, reader: Callable[[], Read]) -> Read:
    """Return what the reader gives; a missing file and a refused one are named by place."""
    if not path.is_file():
        raise InputError(f"expected a file, found none at {path}")
    return reader()


def _regions(structures: StructureSet, names: list[str] | None) -> list[RegionOfInterest]:
    from adapters.rt.contour_planes import closed_contours

    wanted = {name.casefold() for name in names or ()}
    found = [r for r in structures.rois if not wanted or _key(r) in wanted]
    missing = wanted - {_key(r) for r in found}
    if missing:
        raise InputError(f"expected regions of these names, {len(missing)} not found")
    return [r for r in found if closed_contours(r.contours)]


def _key(region: RegionOfInterest) -> str:
    return region.name.strip().casefold()


def _number(value: float | None) -> float | None:
    """Return a number as JSON can say it: six digits, nothing for NaN and infinity."""
    return None if value is None or not math.isfinite(value) else round(value, 6)


def _text(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
