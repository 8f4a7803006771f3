"""`osteon monitor export|pool`: several sites see a rare signal sooner, and no case leaves.

Read next: `adapters/monitoring/pooling.py`.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.cli.governance import NameArgument, deciding
from adapters.cli.monitor import app
from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json, echo_table

if TYPE_CHECKING:
    from adapters.monitoring.pooling import Result


@app.command("export")
def export(
    name: NameArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    to: Annotated[str, typer.Option(help="Region where it is pooled, such as EU.")] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Write the signed evidence of a release for pooling, by month and without a case."""
    from adapters.monitoring.pooling import export_aggregate
    from adapters.writing import write_whole
    from governance.release import digest_of

    with deciding(home, config) as (site, person):
        raw = export_aggregate(site, site.registry.find(name).digest, person, to)
    write_whole(output, raw)
    typer.echo(f"{output}: {digest_of(raw)}")


@app.command("pool")
def pool(
    files: Annotated[list[Path], typer.Argument(help="What sites gave.", exists=True)],
    trust: Annotated[
        Path | None, typer.Option(help="Keys of the sites; else keys/trust.json of the home.")
    ] = None,
    since: Annotated[str, typer.Option(help="Only months after this one, YYYY-MM.")] = "",
    raise_alarm: Annotated[
        bool, typer.Option("--raise", help="Open an alarm here where the pool has one.")
    ] = False,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what the evidence of several sites shows together, beside each one alone."""
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.monitoring import pooling
    from adapters.monitoring.plans import window_of
    from adapters.monitoring.pooled_alarms import raise_pooled
    from governance.signing import load_trust

    keys = load_trust(trust or locate(home).keys / "trust.json")
    with open_site(locate(home), config) as site:
        region = site.configuration.site.region
        given = [pooling.read_given(path.read_bytes(), keys, region) for path in files]
        window = window_of(site, given[0].release_digest) if given else None
        found = pooling.pool_given(given, window, since)
        raised = raise_pooled(site, given[0].release_digest, found) if raise_alarm else ()
    if as_json:
        echo_json([asdict(one) for one in found])
        return
    echo_table(
        f"Pooled: {', '.join(one.site for one in given)}",
        ("item", "cases", "to alarm", "alarm in", "most of it", "alone, to alarm"),
        [_line(one) for one in found],
    )
    typer.echo("\n".join(raised) or "no new alarm")


def _line(one: Result) -> tuple[Any, ...]:
    stratum, name, share = one.pooled.parts[0] if one.pooled.parts else ("", "", 0.0)
    most = max((own.evidence / own.threshold for own in one.alone.values()), default=0.0)
    return (
        one.item.name, one.pooled.cases, f"{one.pooled.evidence / one.pooled.threshold:.0%}",
        one.pooled.alarm_month or "-", f"{name} in {stratum}, {share:.0%}", f"{most:.0%}",
    )  # fmt: skip
