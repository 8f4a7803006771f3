"""`osteon validate export-report|pool|adopt`: give away, pool, take over."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.terminal import (
    ConfigOption,
    HomeOption,
    JsonOption,
    echo_json,
    echo_table,
    set_up_logging,
)
from adapters.cli.validate import app
from adapters.cli.validate_report import CohortOption, RunArgument
from audit.errors import ConfigurationError


@app.command("export-report")
def export_report(
    run: RunArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    name: Annotated[str, typer.Option(help="What this site is called among its peers.")] = "",
    cohort: CohortOption = None,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the signed aggregate of a run, without a case and without small groups."""
    set_up_logging()
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.validation.kept_runs import read_run
    from adapters.validation.peers import export_report as export
    from adapters.writing import write_whole
    from governance.release import digest_of

    with open_site(locate(home), config) as site:
        raw = export(site, read_run(site, run, cohort), signed_in(site), name)
    write_whole(output, raw)
    if as_json:
        echo_json({"file": str(output), "sha256": digest_of(raw)})
    else:
        typer.echo(f"{output}: {digest_of(raw)}")


@app.command("pool")
def pool(
    reports: Annotated[list[Path], typer.Argument(help="Reports of sites.", exists=True)],
    trust: Annotated[
        list[Path] | None,
        typer.Option(help="Keys of the sites, one file or several; else those of the home."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page with forest plots, too.")
    ] = None,
    language: Annotated[str, typer.Option(help="Of the page: en or de.")] = "en",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pool the reports of several sites: means over sites, heterogeneity, prediction interval."""
    if language not in ("en", "de"):
        raise ConfigurationError(f"expected the language en or de, found {language[:16]}")
    from adapters.home import locate
    from adapters.validation.peers import pool_files
    from governance.signing import load_trust

    files = trust or [locate(home).keys / "trust.json"]
    found = pool_files(reports, tuple(key for file in files for key in load_trust(file)))
    if html is not None:
        from adapters.documents.report_html import report_html
        from adapters.writing import write_whole
        from validation.pooling.page import pooled_report

        page = pooled_report(found, "de" if language == "de" else "en")
        write_whole(html, report_html(page).encode())
    if as_json:
        echo_json(found)
        return
    echo_table(
        f"{found['plugin']} {found['version']} at {', '.join(found['sites'])}",
        ("input", "group", "metric", "mean (95 % interval)", "I2 (95 % interval)", "sites", "n"),
        [
            (r["given"], r["stratum"], r["metric"],
             f"{r['value']:.3f} ({r['low']:.3f} to {r['high']:.3f})",
             f"{r['i2']:.0%} ({r['i2_low']:.0%} to {r['i2_high']:.0%})", len(r["sites"]), r["n"])
            for r in found["pooled"]
        ],
    )  # fmt: skip


@app.command("adopt")
def adopt(
    folder: Annotated[Path, typer.Argument(help="Folder of a published run.", exists=True)],
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the certificate of a run that was published elsewhere count here (needs its keys)."""
    from adapters.cli.governance import deciding
    from adapters.validation.adopting import adopt as take_over

    with deciding(home, config) as (site, person):
        found = take_over(site, folder, person)
    stated = found.certificate
    if as_json:
        echo_json({
            "run_id": found.run_id, "certificate_id": stated.certificate_id,
            "release_digest": stated.release_digest, "verdict": stated.verdict,
            "attached": found.attached, "folder": str(found.folder),
        })  # fmt: skip
        return
    typer.echo(f"{stated.certificate_id}: adopted, verdict {stated.verdict}")
    typer.echo(
        f"it gates {stated.release_digest} here"
        if found.attached
        else "it opens no gate: only a pass does"
    )
