"""`osteon validate export-report|pool`: evaluate at home, give aggregates, pool those of peers."""

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
    from governance.release import digest_of

    with open_site(locate(home), config) as site:
        raw = export(site, read_run(site, run, cohort), signed_in(site), name)
    output.write_bytes(raw)
    if as_json:
        echo_json({"file": str(output), "sha256": digest_of(raw)})
    else:
        typer.echo(f"{output}: {digest_of(raw)}")


@app.command("pool")
def pool(
    reports: Annotated[list[Path], typer.Argument(help="Reports of sites.", exists=True)],
    trust: Annotated[
        Path | None, typer.Option(help="Keys of the sites; else keys/trust.json of the home.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pool the reports of several sites: means over sites, heterogeneity, prediction interval."""
    from adapters.home import locate
    from adapters.validation.peers import pool_files
    from governance.signing import load_trust

    found = pool_files(reports, load_trust(trust or locate(home).keys / "trust.json"))
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
