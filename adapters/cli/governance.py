"""`osteon governance`: decide which release runs here, and see who decided what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.terminal import (
    ConfigOption,
    HomeOption,
    set_up_logging,
)

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database.deployments import ReleaseRow
    from adapters.web.access import Session
    from governance.ports import Deployment

app = typer.Typer(no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="Digest, plugin, or plugin-version.")]
ReasonOption = Annotated[str, typer.Option(help="Why; it is kept with the decision.")]


@contextmanager
def deciding(home: Path | None, config: Path | None) -> Iterator[tuple[Site, Session]]:
    """Open the site for a person who has signed in."""
    set_up_logging()
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate

    with open_site(locate(home), config) as site:
        yield site, signed_in(site)


def echo_state(row: ReleaseRow, deployment: Deployment) -> None:
    """Print what a decision led to."""
    until = deployment.evidence.get("expires_at")
    share = f" for {deployment.share:.0%} of studies" if deployment.state == "canary" else ""
    typer.echo(
        f"{row.plugin} {row.version} ({row.digest[:19]}) is {deployment.state}{share}"
        + (f" until {until}" if until and deployment.state == "active" else "")
    )


@app.command("table")
def table() -> None:
    """Print the lifecycle: which act leads from where to where, and who decides on what."""
    from governance.lifecycle import table_markdown

    typer.echo(table_markdown())


@app.command("certify")
def certify(
    name: NameArgument,
    certificate: Annotated[
        Path | None, typer.Argument(help="certificate.json; else the one in the release.")
    ] = None,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Attach a certificate of the validation harness to a release."""
    from adapters.governance.certifying import certify as attach

    with deciding(home, config) as (site, person):
        row = site.registry.find(name)
        raw = certificate.read_bytes() if certificate is not None else None
        deployment = attach(site, row.digest, person, raw)
    echo_state(row, deployment)


@app.command("certificate")
def certificate_state(
    certificate_id: Annotated[str, typer.Argument(help="Id of the certificate.")],
    state: Annotated[str, typer.Argument(help="suspended or valid.")],
    reason: ReasonOption,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Suspend a certificate, or make it valid again; its release runs on it no more, or again."""
    from adapters.governance.certifying import set_certificate_state

    with deciding(home, config) as (site, person):
        set_certificate_state(site, certificate_id, state, person, reason)
    typer.echo(f"certificate {certificate_id} is {state}")


@app.command("approve")
def approve(
    name: NameArgument,
    meaning: Annotated[
        str, typer.Option(help="What the signature says: approval, review or responsibility.")
    ] = "approval",
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Sign a release's certificate; the second person's signature approves the release."""
    from adapters.governance.approving import approve as sign

    with deciding(home, config) as (site, person):
        row = site.registry.find(name)
        approved = sign(site, row.digest, person, meaning)
    if approved.missing:
        wanted = " and ".join(" or ".join(roles) for roles in approved.missing)
        typer.echo(f"signed; {row.plugin} {row.version} still needs: {wanted}")
    else:
        echo_state(row, approved.deployment)


@app.command("shadow")
def shadow(
    name: NameArgument,
    reason: ReasonOption,
    share: Annotated[float, typer.Option(help="Part of the studies, above 0 to 1.")] = 1.0,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Let an approved release run on live studies with its outputs withheld."""
    from adapters.governance.promoting import start_shadow

    with deciding(home, config) as (site, person):
        row = site.registry.find(name)
        deployment = start_shadow(site, row.digest, person, reason, share)
    echo_state(row, deployment)


@app.command("canary")
def canary(
    name: NameArgument,
    reason: ReasonOption,
    share: Annotated[float, typer.Option(help="Part of the studies, above 0 to 1.")] = 0.1,
    device: Annotated[
        list[str] | None,
        typer.Option(help="A sender or Station Name whose studies it gets instead of a share."),
    ] = None,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Give a release in shadow a share of the studies, or those of named senders and stations."""
    from adapters.governance.promoting import start_canary

    with deciding(home, config) as (site, person):
        row = site.registry.find(name)
        devices = tuple(device or ())
        deployment = start_canary(site, row.digest, person, reason, share, devices)
    echo_state(row, deployment)


@app.command("activate")
def activate(
    name: NameArgument,
    reason: ReasonOption,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Make an approved release active where its plugin never was, or a canary after its time."""
    from adapters.governance.promoting import activate as make_active

    with deciding(home, config) as (site, person):
        row = site.registry.find(name)
        deployment = make_active(site, row.digest, person, reason)
    echo_state(row, deployment)


@app.command("waive")
def waive(
    name: NameArgument,
    reason: Annotated[str, typer.Option(help="Why it may run without a certificate.")],
    days: Annotated[int, typer.Option(min=1, max=90, help="When the waiver ends.")] = 30,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Make a release active in research mode, on a recorded waiver with an expiry."""
    from adapters.governance.acts import waive as waive_release

    with deciding(home, config) as (site, person):
        row = site.registry.find(name)
        deployment = waive_release(site, row.digest, person, reason, timedelta(days=days))
    echo_state(row, deployment)


@app.command("suspend")
def suspend(
    name: NameArgument,
    reason: ReasonOption,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Stop a release at once; studies take the manual path."""
    _act("suspend", name, reason, home, config)


@app.command("retire")
def retire(
    name: NameArgument,
    reason: ReasonOption,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Take a release out of use for good."""
    _act("retire", name, reason, home, config)


def _act(action: str, name: str, reason: str, home: Path | None, config: Path | None) -> None:
    from adapters.governance.acts import act

    with deciding(home, config) as (site, person):
        row = site.registry.find(name)
        deployment = act(site, action, row.digest, person, {"reason": reason.strip()})
    echo_state(row, deployment)
