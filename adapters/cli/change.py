"""`osteon change`: which class a change has, its budget, and what persons decide about it.

Read next: `change_plan.py`, `change_duties.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.cli import change_dossier, change_duties, change_plan, change_replay
from adapters.cli.governance import NameArgument, ReasonOption, deciding
from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json, echo_table

if TYPE_CHECKING:
    from governance.change.budget import BudgetPosition
    from governance.provider_shift import Origin

app = typer.Typer(no_args_is_help=True)
app.add_typer(change_plan.app, name="plan", help="The pre-determined change plan.")
app.command("dossier")(change_dossier.dossier)
app.command("dossier-verify")(change_dossier.verify)
app.command("replay")(change_replay.replay)
app.command("replay-routing")(change_replay.replay_routing)
app.command("duties")(change_duties.duties)
app.command("legacy")(change_duties.legacy)
app.command("applicability")(change_duties.applicability)
app.command("trace")(change_duties.trace)
_RELEASE = "A .osteon file, a digest, a plugin, or plugin-version."


@app.command("classify")
def classify(
    old: Annotated[str, typer.Argument(help=_RELEASE)],
    new: Annotated[str, typer.Argument(help=_RELEASE)],
    context: Annotated[
        Path | None, typer.Option(help="TOML or JSON: claims, statements, evidence files.")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Keep it as the change request of NEW.")
    ] = False,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which class a change has: D0 record, D1 in plan, D2 approval, D3 new assessment."""
    from adapters.change.acts import record_change, record_protocol
    from adapters.change.evidence import Brought, read_context
    from adapters.change.standing import classified, named_release
    from adapters.cli.account import person_here, signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from governance.change.statement import statement

    with open_site(locate(home), config) as site:
        releases = named_release(site.registry, old), named_release(site.registry, new)
        brought = read_context(context, site.registry.trust()) if context else Brought()
        found = classified(site, *releases, brought)
        if found.protocol is not None:
            record_protocol(site, found.protocol, person_here(site))
        if record:
            record_change(site, found, brought, releases, signed_in(site))
    document = {**statement(found), "unsigned_evidence": list(brought.unsigned)}
    if as_json:
        echo_json(document)
    else:
        _show(document, recorded=record)


def _show(document: dict[str, Any], *, recorded: bool) -> None:
    verdict = "may become active" if document["may_activate"] else "may not become active"
    typer.echo(f"{document['class']}: {verdict}; UDI: {document['udi']}")
    for kind in document["kinds"]:
        typer.echo(f"  row {kind['row']}: {kind['title']} ({kind['default']}; {kind['flips']})")
    rows = [*document["reasons"], *document["plan_reasons"]]
    echo_table("Reasons", ("code", "reason"), [(r["code"], r["text"]) for r in rows])
    if document["gates"]:
        change_plan.show_gates(document["gates"])
    if document["class"] == "D1" or document["gates"]:
        show_budget(document["budget"])
    for name in document["unsigned_evidence"]:
        typer.echo(f"{name} does not count: nobody signed it (`osteon change sign`)")
    typer.echo("evidence needed: " + (", ".join(document["evidence_needed"]) or "none"))
    if recorded:
        typer.echo(f"kept as the change request of {document['new_digest']}")


def show_budget(lines: list[dict[str, Any]]) -> None:
    """Print the lines of a budget."""
    echo_table(
        "Change budget, against the certified baseline",
        ("limit", "used", "at most", "", "what"),
        [
            (
                line["name"],
                "not measured" if line["used"] is None else f"{line['used']:.6g}",
                f"{line['limit']:.6g}",
                "" if line["holds"] else "EXCEEDED",
                line["text"],
            )
            for line in lines
        ],
    )


@app.command("budget")
def budget(
    plugin: Annotated[str, typer.Argument(help="Plugin name.")],
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far a plugin has moved from its certified baseline."""
    from adapters.change.standing import standing_of
    from adapters.compose import open_site
    from adapters.home import locate
    from governance.change.statement import budget_lines

    with open_site(locate(home), config) as site, site.database.reading() as transaction:
        found = _budget_of(standing_of(site, transaction, plugin), site.now())
    if as_json:
        echo_json({"plugin": plugin, "holds": found.holds, "lines": budget_lines(found)})
    else:
        show_budget(budget_lines(found))


def _budget_of(standing: Any, now: Any) -> BudgetPosition:
    from audit.errors import NotFoundError
    from governance.change.budget import position

    if standing.plan is None or standing.baseline is None:
        raise NotFoundError(
            "expected a change plan and a certified baseline, found none",
            advice="Name them: `osteon change plan adopt`, `osteon change baseline`.",
        )
    return position(
        standing.plan.budget, standing.baseline, standing.ledger, None, standing.stops, now
    )


@app.command("baseline")
def baseline(
    name: NameArgument,
    certificate: Annotated[str, typer.Option(help="Id of the certificate.")],
    since: Annotated[str, typer.Option(help="Day of the certificate, YYYY-MM-DD.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Name the certified release that changes are counted against."""
    from adapters.change.acts import day, name_baseline
    from governance.change.ledger import Baseline

    with deciding(home, config) as (site, person):
        row = site.registry.find(name)
        at = day(since, site.now())
        name_baseline(site, Baseline(row.plugin, row.digest, certificate, at), person)
    typer.echo(f"baseline of {row.plugin}: {row.digest}, certificate {certificate}")


@app.command("reference")
def reference(
    name: NameArgument,
    kind: Annotated[str, typer.Option(help="change_approval (D2) or certificate (D3).")],
    reference_id: Annotated[str, typer.Option("--id", help="As the notified body names it.")],
    since: Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD.")],
    until: Annotated[str, typer.Option(help="First day on which it holds no more.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Keep what the notified body gave for a change."""
    from adapters.change.acts import add_reference, day
    from governance.change.ledger import Reference

    with deciding(home, config) as (site, person):
        row = site.registry.find(name)
        given = Reference(kind, reference_id, day(since, site.now()), day(until, site.now()))
        add_reference(site, row.digest, given, person)
    typer.echo(f"{kind} {reference_id} kept for {row.plugin} {row.version}")


@app.command("withdraw")
def withdraw(
    name: NameArgument,
    reason: ReasonOption,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Take a change back; what it looked at stays counted."""
    from adapters.change.acts import withdraw as take_back

    with deciding(home, config) as (site, person):
        row = site.registry.find(name)
        take_back(site, row.digest, reason, person)
    typer.echo(f"the change to {row.plugin} {row.version} is withdrawn")


@app.command("stop")
def stop(
    plugin: Annotated[str, typer.Argument(help="Plugin name.")],
    name: Annotated[str, typer.Argument(help="drift_alarm_open, consent_withdrawal_unresolved.")],
    reason: ReasonOption,
    clear: Annotated[bool, typer.Option("--clear", help="It is over, or was never there.")] = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """State that a hard stop is open, or clear; an open one blocks every update."""
    from adapters.change.acts import set_stop

    with deciding(home, config) as (site, person):
        set_stop(site, plugin, name, is_open=not clear, reason=reason, person=person)
    typer.echo(f"{name} of {plugin} is {'clear' if clear else 'open'}")


@app.command("origin")
def origin(
    name: NameArgument,
    declare: Annotated[
        bool, typer.Option("--declare-provider", help="This site becomes its provider.")
    ] = False,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare a release with its publisher's: who modifies it becomes its provider."""
    from adapters.change.origins import compare, declare_provider
    from adapters.cli.account import person_here, signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from governance.provider_shift import encode

    with open_site(locate(home), config) as site:
        digest = site.registry.find(name).digest
        if declare:
            found = declare_provider(site, digest, signed_in(site))
        else:
            found = compare(site, digest, person_here(site))
    if as_json:
        echo_json(encode(found))
    else:
        _show_origin(found)


def _show_origin(found: Origin) -> None:
    from governance.provider_shift import TEXTS

    if found.publisher:
        typer.echo(f"{found.plugin}: the publisher's own release")
        return
    compared = found.compared_with or "nothing that lies here"
    typer.echo(f"{found.plugin}: not the publisher's; compared with {compared}")
    for code in found.findings:
        typer.echo(f"  {code}: {TEXTS[code]}")
    if found.declared_by:
        typer.echo(f"declared the site's own by {found.declared_by}")


@app.command("sign")
def sign(
    evidence: Annotated[Path, typer.Argument(help="A report or replay, JSON or TOML.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Sign an evidence file with this site's report key; only signed evidence counts."""
    from adapters.change.signing import sign_evidence

    with deciding(home, config) as (site, person):
        place = sign_evidence(site, evidence, person)
    typer.echo(place)
