"""`osteon governance`: decide which release runs here, on a waiver in research mode."""

from __future__ import annotations

from datetime import timedelta
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

app = typer.Typer(no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="Digest, plugin, or plugin-version.")]


@app.command("waive")
def waive(
    name: NameArgument,
    reason: Annotated[str, typer.Option(help="Why it may run without a certificate.")],
    days: Annotated[int, typer.Option(min=1, max=90, help="When the waiver ends.")] = 30,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Make a release active in research mode, on a recorded waiver with an expiry."""
    set_up_logging()
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.published import waive_release

    with open_site(locate(home), config) as site:
        row = site.registry.find(name)
        deployment = waive_release(site, row.digest, signed_in(site), reason, timedelta(days=days))
    expires_at = deployment.evidence["expires_at"]
    typer.echo(f"{row.plugin} {row.version} is {deployment.state} until {expires_at}")


@app.command("suspend")
def suspend(
    name: NameArgument,
    reason: Annotated[str, typer.Option(help="Why it must stop.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Stop a release at once; studies take the manual path."""
    set_up_logging()
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.published import suspend_release

    with open_site(locate(home), config) as site:
        row = site.registry.find(name)
        suspend_release(site, row.digest, signed_in(site), reason)
    typer.echo(f"{row.plugin} {row.version} is suspended")


@app.command("history")
def history(
    plugin: Annotated[str, typer.Argument(help="Plugin name.")],
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which release was in which state since when, and who decided."""
    from adapters.compose import open_site
    from adapters.home import locate

    with open_site(locate(home), config) as site, site.database.reading() as transaction:
        rows = transaction.deployment_history(plugin)
    if as_json:
        echo_json(
            [
                {
                    "since": d.since, "state": d.state, "release_digest": d.release_digest,
                    "decided_by": d.decided_by, "evidence": dict(d.evidence),
                }
                for d in rows
            ]
        )  # fmt: skip
        return
    echo_table(
        f"History of {plugin}",
        ("since (UTC)", "state", "release", "decided by", "evidence"),
        [
            (
                f"{d.since:%Y-%m-%d %H:%M:%S}", d.state, d.release_digest[:19], d.decided_by,
                ", ".join(f"{k}: {v}" for k, v in d.evidence.items()),
            )
            for d in rows
        ],
    )  # fmt: skip
