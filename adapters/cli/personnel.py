"""`osteon personnel`: who oversees a plugin, who is trained, who knows the instructions.

Read next: `adapters/personnel.py`.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Annotated

import typer

from adapters.cli.governance import deciding
from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json, echo_table
from audit.errors import ConfigurationError

app = typer.Typer(no_args_is_help=True)
PluginArgument = Annotated[str, typer.Argument(help="Plugin name.")]
AccountArgument = Annotated[str, typer.Argument(help="Account id.")]


@app.command("status")
def status(
    plugin: PluginArgument,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the overseers of a plugin, their training and what they have acknowledged."""
    from adapters.compose import open_site
    from adapters.home import locate
    from governance.personnel import standing

    with open_site(locate(home), config) as site, site.database.reading() as transaction:
        rows = [asdict(item) for item in standing(transaction, plugin)]
    if as_json:
        echo_json({"plugin": plugin, "overseers": rows})
        return
    columns = ("account", "role", "trained_until", "acknowledged")
    echo_table(
        f"Overseers of {plugin}",
        ("account", "role", "trained until", "instructions"),
        [tuple(row[name] or "–" for name in columns) for row in rows],
    )


@app.command("name")
def name(
    plugin: PluginArgument,
    account: AccountArgument,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Name an overseer of a plugin (approver); a clinician or physicist."""
    from adapters.personnel import name_overseer

    with deciding(home, config) as (site, person):
        name_overseer(site, plugin, account, person)
    typer.echo(f"{account} oversees {plugin}")


@app.command("remove")
def remove(
    plugin: PluginArgument,
    account: AccountArgument,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Take an overseer's name away (approver); without any, clinical use is suspended."""
    from adapters.personnel import remove_overseer

    with deciding(home, config) as (site, person):
        suspended = remove_overseer(site, plugin, account, person)
    typer.echo(f"{account} no longer oversees {plugin}")
    for digest in suspended:
        typer.echo(f"suspended: {digest[:19]}, because nobody oversees it")


@app.command("train")
def train(
    plugin: PluginArgument,
    account: AccountArgument,
    topic: Annotated[str, typer.Option(help="What was trained.")],
    by: Annotated[str, typer.Option(help="Who trained.")],
    until: Annotated[str, typer.Option(help="Valid until, YYYY-MM-DD.")],
    on: Annotated[str, typer.Option(help="Day of the training; today by default.")] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Record that somebody was trained (approver, not about themselves)."""
    from adapters.personnel import record_training
    from governance.personnel import TRAINING_SCHEMA

    with deciding(home, config) as (site, person):
        content = {
            "schema": TRAINING_SCHEMA, "plugin": plugin, "account": account, "topic": topic,
            "by": by, "on": on or site.now().date().isoformat(), "valid_until": until,
        }  # fmt: skip
        record_training(site, plugin, account, content, person)
    typer.echo(f"{account} is trained for {plugin} until {until}")


@app.command("acknowledge")
def acknowledge(
    release: Annotated[str, typer.Argument(help="Digest, plugin, or plugin-version.")],
    language: Annotated[str, typer.Option(help="en or de: which you have read.")] = "en",
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Record that you have read the instructions for use of a release, as they are now."""
    from adapters.personnel import acknowledge as read

    if language not in ("en", "de"):
        raise ConfigurationError(f"expected en or de, found {language[:10]!r}")
    with deciding(home, config) as (site, person):
        row = site.registry.find(release)
        done = read(site, row.digest, person, "en" if language == "en" else "de")
    typer.echo(f"{person.account_id} acknowledged instructions {done.content['ifu_version']}")


@app.command("assess")
def assess(
    kind: Annotated[str, typer.Argument(help="dpia or fria.")],
    plugin: PluginArgument,
    reference: Annotated[str, typer.Option(help="Number under which the assessment lies.")],
    signed_by: Annotated[str, typer.Option(help="Who signed it: a function, e.g. dpo.")],
    due: Annotated[str, typer.Option(help="When it is to be reviewed, YYYY-MM-DD.")],
    signed_on: Annotated[str, typer.Option(help="Day; today by default.")] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Record an assessment of data protection or fundamental rights (approver)."""
    from adapters.personnel import assess as record
    from governance.personnel import ASSESSMENT_SCHEMA

    with deciding(home, config) as (site, person):
        day = signed_on or site.now().date().isoformat()
        content = {
            "schema": ASSESSMENT_SCHEMA, "reference": reference, "signed_by": signed_by,
            "signed_on": date.fromisoformat(day).isoformat(), "review_due": due,
        }  # fmt: skip
        record(site, kind, plugin, content, person)
    typer.echo(f"{kind} {reference} of {plugin} is on record; due {due}")
