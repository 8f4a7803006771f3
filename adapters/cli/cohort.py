"""`osteon cohort`: build the cases that a release is judged on, check, seal and size them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.governance import deciding
from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json, echo_table
from audit.errors import ConfigurationError

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.validation.cohorts import Kept

app = typer.Typer(no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="Name of a cohort of this site.")]


@app.command("build")
def build(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of arrays with clinical.csv and a plan.")
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            "--from", help="A folder of DICOM studies, or a data set with a plan: sts51, openkbp."
        ),
    ] = "",
    plan: Annotated[
        Path | None, typer.Option(help="The plan; else cohort-plan.json, or .toml for DICOM.")
    ] = None,
    release: Annotated[
        str, typer.Option("--release", help="DICOM: whose inputs are read, whose training asked.")
    ] = "",
    structure: Annotated[
        list[str] | None,
        typer.Option(help="DICOM: NAME=FINDING of a region, beside those of the plan."),
    ] = None,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="DICOM: go on without studies that have a fault.")
    ] = False,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build a cohort into the home: pseudonyms, digests, strata, coverage; on record."""
    from adapters.validation import building

    if bool(folder) == bool(source):
        raise ConfigurationError("expected a folder or --from, found both or neither")
    if source and Path(source).is_dir() and not (building.PLANS / f"{source}-cohort.json").exists():
        asked = (Path(source), plan, release, tuple(structure or ()), leave_out)
        _build_dicom(asked, home, config, as_json=as_json)
        return
    if release or structure or leave_out:
        raise ConfigurationError("expected --from with a folder of DICOM studies, found another")
    if source:
        plan = building.PLANS / f"{source}-cohort.json"
        folder = Path(os.environ.get("OSTEON_TEST_DATA", "../shared/data")) / source
    assert folder is not None
    with deciding(home, config) as (site, person):
        kept = building.build(site, folder, person, plan)
    count = len({case.patient_group for case in kept.cohort.cases})
    if as_json:
        cases = len(kept.cohort.cases)
        echo_json({"cohort": kept.cohort.name, "digest": kept.digest, "cases": cases,
                   "patients": count})  # fmt: skip
        return
    typer.echo(f"cohort {kept.cohort.name}: {len(kept.cohort.cases)} cases, {count} patients")
    typer.echo(f"  {kept.digest}")


def _build_dicom(
    asked: tuple[Path, Path | None, str, tuple[str, ...], bool],
    home: Path | None,
    config: Path | None,
    *,
    as_json: bool,
) -> None:
    """Build a cohort of a site's own studies, and say what is unknown of them."""
    from adapters.validation.building_dicom import build_dicom
    from adapters.validation.dicom_plan import read_plan, with_structures

    folder, path, release, structures, leave_out = asked
    if not release:
        raise ConfigurationError("expected --release with a folder of DICOM studies, found none")
    plan = with_structures(read_plan(path or folder / "cohort-plan.toml"), structures)
    with deciding(home, config) as (site, person):
        built = build_dicom(site, folder, plan, release, person, leave_out=leave_out)
    cohort = built.kept.cohort
    document = {
        "cohort": cohort.name,
        "digest": built.kept.digest,
        "cases": len(cohort.cases),
        "patients": len({case.patient_group for case in cohort.cases}),
        "strata": [rule.name for rule in cohort.strata],
        "unknown": built.unknown,
        "left_out": built.left_out,
        "patients_some_member_saw": built.seen,
        "skipped_files": built.skipped,
    }
    if as_json:
        echo_json(document)
        return
    rows = [(key, _said(value)) for key, value in document.items()]
    echo_table(f"Cohort {cohort.name}", ("what", "found"), rows)


def _said(value: object) -> str:
    """Return a value of the table in one cell."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {count}" for key, count in value.items()) or "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@app.command("pseudonyms")
def pseudonyms(
    plan: Annotated[
        Path | None, typer.Option(help="A plan, where it names the key of a public data set.")
    ] = None,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Read Patient IDs from standard input, one a line; print their pseudonyms in that order."""
    import sys

    from adapters.validation.cohorts import MAKERS, linkage_of, require
    from adapters.validation.dicom_plan import linkage_named

    named = linkage_named(plan) if plan else ""
    with deciding(home, config) as (site, person):
        require(person, MAKERS)
        linkage = linkage_of(site.home, named)
    for line in sys.stdin:
        if line.strip():
            typer.echo(linkage.pseudonym(line))


@app.command("list")
def list_cohorts(
    home: HomeOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List the cohorts of the site with their seals, and how often runs looked at their cases."""
    from adapters.validation import cohorts

    with deciding(home, config) as (site, _):
        kept = [cohorts.load(site.home, name) for name in cohorts.names(site.home)]
        rows = [
            {
                "cohort": item.cohort.name,
                "cases": len(item.cohort.cases),
                "seal": item.cohort.seal.state,
                "looks": _looks(site, item),
                "openings": item.cohort.seal.openings
                if item.cohort.seal.state == "sealed"
                else None,
                "digest": item.digest,
            }
            for item in kept
        ]
    if as_json:
        echo_json(rows)
        return
    columns = ("cohort", "cases", "seal", "looks", "of openings", "digest")
    cells = [["–" if value is None else value for value in row.values()] for row in rows]
    echo_table("Cohorts", columns, cells)


def _openings(kept: Kept) -> int | None:
    """Return how many runs the seal of a cohort allows; None without a seal."""
    seal = kept.cohort.seal
    return seal.openings if seal.state == "sealed" else None


def _looks(site: Site, kept: Kept) -> int:
    """Return how many runs looked at the cases of a cohort, sealed or not."""
    from adapters.validation.criteria import openings

    with site.database.reading() as transaction:
        return len({item.run_id for item in openings(transaction, kept.content_digest)})


@app.command("check")
def check(
    name: NameArgument,
    release: Annotated[str, typer.Option(help="Look for its training patients too.")] = "",
    method: Annotated[str, typer.Option(help="held-out or cross-fitted.")] = "held-out",
    images: Annotated[
        bool, typer.Option("--images", help="Compare images: one patient under two ids.")
    ] = False,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every byte, the strata and what is not covered; and leakage against a release."""
    from adapters.validation.checking import check as look

    with deciding(home, config) as (site, _):
        found = look(site, name, release, method, images=images)
    if as_json:
        echo_json(found.document)
    else:
        typer.echo(f"cohort {name} {found.document['digest']}")
        rows = [(s["name"], s["n"], s["needs"]) for s in found.document["strata"]]
        echo_table("Strata", ("stratum", "patients", "needs"), rows)
        empty = [" ".join(pair) for pair in found.document["not_covered"]]
        echo_table("Not covered", ("axis and level",), [(item,) for item in empty])
    found.require()
    typer.echo("every byte is as the manifest says" + (", no patient leaked" if release else ""))


@app.command("seal")
def seal(
    name: NameArgument,
    openings: Annotated[int, typer.Option(min=1, help="Runs that may open it.")] = 5,
    alpha: Annotated[float, typer.Option(help="Type I error of all looks together.")] = 0.05,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Encrypt a cohort for the harness alone, with a budget of openings."""
    from adapters.validation.cohorts import seal as close

    with deciding(home, config) as (site, person):
        kept = close(site, name, openings, alpha, person)
        looks = _looks(site, kept)
    typer.echo(f"cohort {name} is sealed for {openings} openings: {kept.digest}")
    if looks:
        typer.echo(f"  {looks} of them used up by runs that looked at its cases before")


@app.command("size")
def size(
    margin: Annotated[float | None, typer.Option(help="Non-inferiority margin.")] = None,
    difference: Annotated[
        float | None, typer.Option(help="True difference that superiority is to show.")
    ] = None,
    deviation: Annotated[
        float | None, typer.Option(help="Standard deviation of the paired difference.")
    ] = None,
    share: Annotated[float | None, typer.Option(help="Share to show, where all are met.")] = None,
    alpha: Annotated[float, typer.Option(help="One-sided type I error.")] = 0.025,
    power: Annotated[float, typer.Option(help="Power; not asked for a share.")] = 0.9,
    as_json: JsonOption = False,
) -> None:
    """Print how many patients a cohort needs, or each stratum that has to show it by itself."""
    from validation.statistics.looks import cases_for_margin, cases_for_share

    asked = [("margin", margin), ("difference", difference), ("share", share)]
    stated = [(name, value) for name, value in asked if value is not None]
    if len(stated) != 1 or (deviation is None) != (share is not None):
        raise ConfigurationError("expected --margin or --difference with --deviation, or --share")
    ((name, value),) = stated
    document: dict[str, object] = {name: value, "alpha": alpha}
    try:
        if deviation is None:
            n = cases_for_share(value, 1 - 2 * alpha)
        else:
            n = cases_for_margin(value, deviation, alpha, power)
            document |= {"deviation": deviation, "power": power}
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    if as_json:
        echo_json({"patients": n} | document)
        return
    what = f"all met, show a share of at least {share}" if share is not None else f"{name} {value}"
    rest = ", ".join(f"{key} {document[key]}" for key in document if key != name)
    typer.echo(f"{n} patients: {what}, {rest}")
