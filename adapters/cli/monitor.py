"""`osteon monitor`: what is watched, what was found, and when a change would have been found.

Read next: `adapters/monitoring/`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters.cli.governance import NameArgument, ReasonOption, deciding
from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json, echo_table
from audit.errors import ConfigurationError, NotFoundError

app = typer.Typer(no_args_is_help=True)
SEED = 20261126


@app.command("status")
def status(
    home: HomeOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show every item of every plan, and what waits for a decision; 1 where one does not run."""
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.monitoring.standing import standing
    from governance.monitoring.fatigue import document

    with open_site(locate(home), config) as site:
        found = standing(site)
    if as_json:
        echo_json(
            {
                "items": [{**asdict(line), "item": asdict(line.item)} for line in found.lines],
                "open": [{"name": item.name, **item.content} for item in found.open_items],
                "fatigue": {digest: document(one) for digest, one in found.fatigue.items()},
                "silences": [{"name": item.name, **item.content} for item in found.silences],
                "covered": found.is_covered,
            }
        )
    else:
        if not found.lines:
            typer.echo("no release with a monitoring plan is at work here: nothing is watched")
        echo_table(
            "Monitors",
            ("plugin", "release", "item", "condition", "cases", "to alarm", "last run", "owner"),
            [
                (
                    line.plugin, line.release_digest[7:19], line.item.name, line.condition,
                    line.cases, f"{100 * line.nearest:.0f} %",
                    f"{line.last_run_at:%Y-%m-%d %H:%M}" if line.last_run_at else "never",
                    line.item.owner,
                )
                for line in found.lines
            ],
        )  # fmt: skip
        for item in found.open_items:
            stated = item.content
            typer.echo(
                f"{item.name}: {stated['reason']}; {stated['owner']} decides by "
                f"{str(stated['deadline'])[:10]}"
            )
        for item in found.silences:
            typer.echo(f"{item.name}: silent until {str(item.content['until'])[:16]}")
    raise typer.Exit(0 if found.is_covered else 1)


@app.command("run")
def run(home: HomeOption = None, config: ConfigOption = None) -> None:
    """Run every monitor once, as a serving site does each minute."""
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.monitoring.running import run_monitors

    with open_site(locate(home), config) as site:
        raised = run_monitors(site)
    typer.echo("\n".join(raised) or "no new alarm")


@app.command("decide")
def decide(
    name: Annotated[str, typer.Argument(help="Name of the alarm, as status shows it.")],
    decision: Annotated[
        str, typer.Argument(help="keep, suspend, rollback, retrain or false-alarm.")
    ],
    reason: ReasonOption,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Close an alarm and its re-evaluation by a decision on the release."""
    from adapters.monitoring.alarming import decide as close

    with deciding(home, config) as (site, person):
        close(site, name, decision, reason, person)
    typer.echo(f"{name}: {decision}")


@app.command("acknowledge")
def acknowledge(
    name: Annotated[str, typer.Argument(help="Name of the alarm, as status shows it.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Take up an alarm: its deputy and compliance are not told any more, its deadline stays."""
    from adapters.monitoring.answering import acknowledge as take_up

    with deciding(home, config) as (site, person):
        take_up(site, name, person)
    typer.echo(f"{name}: taken up")


@app.command("silence")
def silence(
    name: Annotated[str, typer.Argument(help="Name of the alarm: monitor:ITEM:DIGEST12.")],
    reason: ReasonOption,
    days: Annotated[float, typer.Option(help="From now on, at most 30.")] = 7.0,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Tell nobody of an alarm for some days; never of one that suspends or asks for rollback."""
    from adapters.monitoring.answering import silence_alarm

    with deciding(home, config) as (site, person):
        until = site.now() + timedelta(days=days)
        silence_alarm(site, name, until, reason, person)
    typer.echo(f"{name}: silent until {until:%Y-%m-%d %H:%M} UTC")


@app.command("plan")
def plan(
    name: NameArgument,
    file: Annotated[
        Path | None, typer.Argument(help="A plan to put in force; shown without.")
    ] = None,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Show the monitoring plan of a release, or put another in force, on record."""
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.monitoring.plans import plan_of, set_plan
    from governance.monitoring.plan import decode, encode

    if file is None:
        with open_site(locate(home), config) as site, site.database.reading() as transaction:
            row = site.registry.find(name)
            echo_json(encode(plan_of(site, transaction, row.plugin, row.digest)))
        return
    wanted = decode(_document(file))
    with deciding(home, config) as (site, person):
        row = site.registry.find(name)
        document = set_plan(site, row.plugin, row.digest, wanted, person)
    typer.echo(f"{row.plugin} {row.version}: plan in revision {document.revision}")


@app.command("report")
def report(
    name: NameArgument,
    out: Annotated[Path, typer.Option(help="Folder for JSON, HTML and PDF.")],
    kind: Annotated[
        str, typer.Option(help="post-market (AI Act), psur or trend (MDR), or all.")
    ] = "post-market",
    log_size: Annotated[
        int | None, typer.Option(help="From that many records of the log; all without.")
    ] = None,
    after: Annotated[int, typer.Option(help="Records of earlier periods, left out.")] = 0,
    pdf: Annotated[bool, typer.Option(help="Print it, too.")] = True,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Write a periodic report of a release; the same log size gives the same bytes."""
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.monitoring.reporting import make_report, write_report
    from governance.monitoring.periodic import KINDS

    kinds = tuple(KINDS) if kind == "all" else (kind,)
    if set(kinds) - set(KINDS):
        raise ConfigurationError(f"expected a kind of {', '.join(KINDS)} or all")
    with open_site(locate(home), config) as site:
        digest = site.registry.find(name).digest
        made = [make_report(site, digest, log_size, kind=one, after=after) for one in kinds]
    for document in made:
        try:
            paths = write_report(document, out, pdf=pdf)
        except ConfigurationError as error:  # JSON and HTML are there, and say the same
            typer.echo(f"no PDF: {error}")
            paths = write_report(document, out)
        for path in paths:
            typer.echo(path)
    typer.echo(f"from {made[0]['log']['size']} records of the log")


@app.command("simulate")
def simulate(
    name: NameArgument,
    change: Annotated[
        str, typer.Option(help="NAME+NUMBER, NAME*NUMBER or NAME=WORD; the past as it is without.")
    ] = "",
    at: Annotated[int, typer.Option(help="Cases before the change.")] = 50,
    cases: Annotated[int, typer.Option(help="Cases of a stream.")] = 100,
    streams: Annotated[int, typer.Option(help="Streams.")] = 50,
    item: Annotated[str, typer.Option(help="Item of the plan.")] = "input",
    seed: Annotated[int, typer.Option(help="Seed of the streams.")] = SEED,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say when a change would have been found: in the past, or planted in streams drawn from it."""
    import numpy as np

    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.monitoring import simulating
    from adapters.monitoring.running import watched

    with open_site(locate(home), config) as site:
        digest = site.registry.find(name).digest
        found = [one for one in watched(site) if one.deployment.release_digest == digest]
        items = [line for one in found for line in one.plan.items if line.name == item]
        if not items:
            raise NotFoundError(f"expected a release at work with an item {item[:40]!r}")
        past = simulating.past_of(site, found[0], items[0])
    if not change:
        result: Any = simulating.replay(found[0], items[0], past)
    else:
        generator = np.random.default_rng(seed)
        drawn = past or simulating.drawn_from_window(found[0], 200, generator)
        result = simulating.plant(
            found[0], items[0], drawn, simulating.change_of(change),
            change_at=at, length=cases, streams=streams, generator=generator,
        )  # fmt: skip
    if as_json:
        echo_json(asdict(result))
        return
    typer.echo(json.dumps(asdict(result), indent=1))


@app.command("outcomes")
def outcomes(
    file: Annotated[Path, typer.Argument(help="JSON, one outcome a line.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Import what was found later: run_id, stated, event, seen_at, reported_at (physicist)."""
    from adapters.monitoring.outcomes import import_outcomes

    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"expected a readable text file {file.name}, found none") from error
    with deciding(home, config) as (site, person):
        kept = import_outcomes(site, person, text)
    typer.echo(f"{kept} outcomes kept")


def _document(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"expected a JSON file {file.name}") from error
    if not isinstance(found, dict):
        raise ConfigurationError(f"expected a JSON object in {file.name}")
    return found
