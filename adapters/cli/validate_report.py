"""`osteon validate report|certify|verify|compare`: what a run of the harness shows and is worth.

Exit code 3 where something was refused: files that do not belong together, a role, a comparison
of what cannot be compared.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.terminal import (
    REFUSED,
    ConfigOption,
    HomeOption,
    JsonOption,
    echo_json,
    echo_table,
    set_up_logging,
)
from adapters.cli.validate import app

RunArgument = Annotated[str, typer.Argument(help="Id of a run, or the beginning of it.")]
CohortOption = Annotated[
    Path | None, typer.Option("--cohort", help="Manifest of the cohort; else that of the run.")
]


@app.command("report")
def report(
    run: RunArgument,
    cohort: CohortOption = None,
    pdf: Annotated[bool, typer.Option("--pdf/--no-pdf", help="Also print the pages.")] = True,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge the results of a run and write its report: JSON, pages in two languages, PDF."""
    set_up_logging()
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.validation.kept_runs import read_run
    from adapters.validation.reporting import write_report

    with open_site(locate(home), config) as site:
        found = read_run(site, run, cohort)
        written = write_report(site, found, pdf=pdf)
    results = written.document.results
    if as_json:
        echo_json({
            "run_id": found.results.run_id, "report_digest": written.document.digest,
            "verdict": results["verdict"], "verdicts": results["verdicts"],
            "groups": results["groups"], "folder": str(found.folder), "files": written.names,
        })  # fmt: skip
        return
    echo_table(
        f"{results['plugin']} {results['version']}: {results['verdict']}",
        ("criterion", "group", "asked", "found", "n", "verdict", "reason"),
        [
            (v["criterion"], v["stratum"], v["asked"],
             "–" if v["value"] is None else f"{v['value']:.3f}", v["n"], v["verdict"], v["reason"])
            for v in results["verdicts"]
        ],
    )  # fmt: skip
    typer.echo(f"report {written.document.digest} in {found.folder}")
    if written.pdf_advice:
        typer.echo(f"no PDF: {written.pdf_advice}", err=True)


@app.command("certify")
def certify(
    run: RunArgument,
    cohort: CohortOption = None,
    days: Annotated[int, typer.Option(min=1, max=730, help="How long it counts.")] = 365,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign the certificate of a run, whatever its verdict; it needs a login."""
    set_up_logging()
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.validation.kept_runs import CERTIFICATE, read_run
    from adapters.validation.reporting import certify_run

    with open_site(locate(home), config) as site:
        found = read_run(site, run, cohort)
        certificate, _ = certify_run(site, found, signed_in(site), timedelta(days=days))
    path = found.folder / CERTIFICATE
    if as_json:
        echo_json({
            "certificate_id": certificate.certificate_id, "verdict": certificate.verdict,
            "release_digest": certificate.release_digest,
            "report_digest": certificate.report_digest,
            "expires_at": certificate.expires_at.isoformat(), "file": str(path),
        })  # fmt: skip
        return
    typer.echo(f"{certificate.certificate_id}: {certificate.verdict}, in {path}")
    if certificate.verdict == "pass":
        typer.echo(f"attach it: osteon governance certify {certificate.release_digest} {path}")


@app.command("verify")
def verify(
    folder: Annotated[Path, typer.Argument(help="Folder with the three files.", exists=True)],
    trust: Annotated[
        Path | None, typer.Option(help="Keys that count; else keys/trust.json of the home.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify results, report and certificate offline: digests, signatures, keys."""
    from adapters.home import locate
    from adapters.validation.kept_runs import CERTIFICATE, REPORT
    from adapters.validation.running import RESULTS
    from audit.errors import NotFoundError
    from governance.signing import load_trust
    from validation.report.issuing import verify_files

    missing = [n for n in (RESULTS, REPORT, CERTIFICATE) if not (folder / n).is_file()]
    if missing:
        raise NotFoundError(f"expected {', '.join(missing)} in the folder, found none")
    keys = load_trust(trust or locate(home).keys / "trust.json")
    raw = [(folder / name).read_bytes() for name in (RESULTS, REPORT, CERTIFICATE)]
    certificate = verify_files(raw[0], raw[1], raw[2], keys)
    if as_json:
        echo_json({"certificate_id": certificate.certificate_id, "verdict": certificate.verdict,
                   "verified": True})  # fmt: skip
        return
    typer.echo(f"{certificate.certificate_id}: verified, verdict {certificate.verdict}")


@app.command("compare")
def compare_runs(
    first: RunArgument,
    second: Annotated[str, typer.Argument(help="The run that is compared with it.")],
    margin: Annotated[
        list[str] | None,
        typer.Option(help="METRIC=MARGIN: how much worse it may be, e.g. dsc=0.02."),
    ] = None,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two runs on one cohort case by case; 3 when it is inferior, or cannot be compared."""
    set_up_logging()
    from dataclasses import asdict

    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.validation.kept_runs import folder_of, recorded_results
    from validation.report.comparing import compare
    from validation.report.metric_terms import MEASURED
    from validation.statistics.resampling import of_mean

    with open_site(locate(home), config) as site:
        runs = [recorded_results(site, folder_of(site, name)) for name in (first, second)]
    found = compare(runs[0], runs[1], MEASURED, _margins(margin or []), of_mean)
    if as_json:
        echo_json(asdict(found))
    else:
        words = {True: "not inferior", False: "inferior, or not shown", None: "–"}
        echo_table(
            "Second run minus first, paired by case (95 % interval)",
            ("input", "metric", "difference", "pairs", "lost", "verdict"),
            [
                (d.given, d.metric, f"{d.value:+.4f} ({d.low:+.4f} to {d.high:+.4f})", d.pairs,
                 d.lost, words[d.not_inferior])
                for d in found.differences
            ],
        )  # fmt: skip
        echo_table(
            "Cases that changed most",
            ("input", "case", "metric", "first", "second"),
            [(c.given, c.case, c.metric, f"{c.before:.4f}", f"{c.after:.4f}")
             for c in found.changed],
        )  # fmt: skip
    if any(item.not_inferior is False for item in found.differences):
        raise typer.Exit(REFUSED)


def _margins(stated: list[str]) -> dict[str, float]:
    from audit.errors import ConfigurationError

    try:
        return {name: float(value) for name, _, value in (item.partition("=") for item in stated)}
    except ValueError as error:
        raise ConfigurationError("expected METRIC=MARGIN with a number") from error
