"""`osteon change replay` and `replay-routing`: make the evidence that change control reads.

Read next: `adapters/change/replays.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json, set_up_logging
from audit.errors import ConfigurationError

if TYPE_CHECKING:
    from adapters.compose import Site

_RELEASE = "A digest, a plugin, or plugin-version that lies at the site."
_OUT = Annotated[Path, typer.Option("--output", "-o", help="File to write.")]


def replay(
    old: Annotated[str, typer.Argument(help=_RELEASE)],
    new: Annotated[str, typer.Argument(help=_RELEASE)],
    output: _OUT,
    cases: Annotated[int, typer.Option(help="How many recorded inputs.")] = 59,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run both releases on inputs of recorded runs and compare their outputs (golden replay).

    Sign the file (`osteon change sign`) and name it as `golden_replay` in a change's context.
    """
    set_up_logging()
    if cases < 1:
        raise ConfigurationError(f"expected at least one case, found {cases}")
    from adapters.change.replays import golden_replay, write_replay
    from adapters.cli.account import person_here
    from adapters.compose import open_site
    from adapters.home import locate

    with open_site(locate(home), config) as site:
        digests = site.registry.find(old).digest, site.registry.find(new).digest
        found = golden_replay(site, *digests, cases=cases)
        _record(site, "golden-replay", person_here(site))
    write_replay(found, output)
    rows = found["cases"]
    equal = sum(row["old"] == row["new"] for row in rows)
    if as_json:
        return echo_json({"file": str(output), "cases": len(rows), "equal": equal})
    typer.echo(f"{output}: {equal} of {len(rows)} outputs equal")
    for name, value in found["largest_differences"].items():
        typer.echo(f"  largest difference, {name}: {value:g}")


def replay_routing(
    old: Annotated[str, typer.Argument(help=_RELEASE)],
    new: Annotated[str, typer.Argument(help=_RELEASE)],
    output: _OUT,
    days: Annotated[int, typer.Option(help="Studies that arrived in so many days.")] = 90,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try the routing rules of both releases on the studies of the last days.

    Sign the file (`osteon change sign`) and name it as `routing_replay` in a change's context.
    """
    set_up_logging()
    if days < 1:
        raise ConfigurationError(f"expected at least one day, found {days}")
    from adapters.change.replays import routing_replay, write_replay
    from adapters.cli.account import person_here
    from adapters.compose import open_site
    from adapters.home import locate

    with open_site(locate(home), config) as site:
        digests = site.registry.find(old).digest, site.registry.find(new).digest
        found = routing_replay(site, *digests, days=days)
        _record(site, "routing-replay", person_here(site))
    write_replay(found, output)
    if as_json:
        return echo_json({"file": str(output)} | found)
    typer.echo(
        f"{output}: {found['study_count']} studies of {days} days; admitted "
        f"{found['admitted_old']} before, {found['admitted_new']} now, "
        f"{found['admitted_unvalidated']} by the new rules only"
    )
    if found["gone"]:
        typer.echo(f"  {found['gone']} studies are no longer in their archive")


def _record(site: Site, what: str, person: str) -> None:
    with site.database.transaction() as transaction:
        site.journal.access(transaction, what, "change-control", person)
