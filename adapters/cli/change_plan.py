"""`osteon change plan`: sign, verify, show and adopt a pre-determined change plan.

Read next: `governance/change/plan.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.cli.governance import deciding
from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json, echo_table

if TYPE_CHECKING:
    from governance.change.plan_signing import SignedPlan

app = typer.Typer(no_args_is_help=True)
PlanArgument = Annotated[Path, typer.Argument(help="A signed plan.")]


@app.command("sign")
def sign(
    plan: Annotated[Path, typer.Argument(help="The plan as TOML or JSON, or a signed plan.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="The signed plan.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Sign a complete plan with this site's plan key; a gap in it is named instead."""
    from adapters.change.signing import sign_plan_file

    with deciding(home, config) as (site, person):
        typer.echo(sign_plan_file(site, plan, out, person))


@app.command("verify")
def verify(plan: PlanArgument, home: HomeOption = None, config: ConfigOption = None) -> None:
    """Check a signed plan: complete, and every signature by a trusted key."""
    signed = _opened(plan, home, config)
    typer.echo(f"{signed.plan.digest}: complete, signed by {', '.join(signed.key_ids)}")


@app.command("adopt")
def adopt(plan: PlanArgument, home: HomeOption = None, config: ConfigOption = None) -> None:
    """Put a signed plan in force at this site."""
    from adapters.change.acts import adopt_plan
    from adapters.change.evidence import read_bytes

    with deciding(home, config) as (site, person):
        signed = adopt_plan(site, read_bytes(plan), person)
    typer.echo(f"plan {signed.plan.version} of {signed.plan.plugin} is in force")


@app.command("show")
def show(
    plan: PlanArgument,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a signed plan permits, and its protocol."""
    signed = _opened(plan, home, config)
    if as_json:
        echo_json({"digest": signed.plan.digest, "signed_by": signed.key_ids, **signed.document})
        return
    found = signed.plan
    typer.echo(f"plan {found.version} of {found.plugin}, against {found.baseline_digest}")
    typer.echo(f"accepted by the notified body as {found.nb_reference or 'nothing yet'}")
    echo_table(
        "Modifications",
        ("id", "kinds", "bounds", "sites", "risks"),
        [
            (
                m.modification_id, ", ".join(m.kinds),
                ", ".join(f"{n} {low:g} to {high:g}" for n, (low, high) in m.bounds.items()),
                ", ".join(m.sites), ", ".join(m.risk_ids),
            )
            for m in found.modifications
        ],
    )  # fmt: skip
    echo_table(
        "Protocol",
        ("step", "given", "stratum", "gate", "n at least"),
        [
            (
                s.step_id, s.given, s.stratum,
                f"{s.metric} {s.statistic} {s.comparison.replace('_', ' ')} {s.bound:g}",
                s.smallest_count,
            )
            for s in found.steps
        ],
    )  # fmt: skip


def show_gates(gates: list[dict[str, Any]]) -> None:
    """Print what the gates of a protocol found."""
    echo_table(
        "Gates",
        ("step", "gate", "found", "n", ""),
        [
            (
                gate["step_id"], gate["bound"],
                "nothing" if gate["found"] is None else f"{gate['found']:g}", gate["count"],
                "passed" if gate["passed"] else gate["reason"],
            )
            for gate in gates
        ],
    )  # fmt: skip


def _opened(plan: Path, home: Path | None, config: Path | None) -> SignedPlan:
    from adapters.change.evidence import read_bytes
    from adapters.compose import open_site
    from adapters.home import locate
    from governance.change.plan_signing import open_plan

    with open_site(locate(home), config) as site:
        return open_plan(read_bytes(plan), site.registry.trust())
