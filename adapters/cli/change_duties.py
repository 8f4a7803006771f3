"""`osteon change duties|legacy|applicability|trace`: what the law asks, and what shows it.

Read next: `governance/applicability.py`, `governance/requirement_map.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters.cli.governance import deciding
from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json, echo_table


def duties(
    on: Annotated[str, typer.Option(help="Day, YYYY-MM-DD; today by default.")] = "",
    route: Annotated[str, typer.Option(help="mdr-iia, mdr-iib, annex-iii, fda, ...")] = "mdr-iib",
    jurisdiction: Annotated[str, typer.Option(help="EU, US or CN.")] = "EU",
    placed: Annotated[str, typer.Option(help="Day of first placing on the market.")] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the duties that are in force on a day."""
    from adapters.change.acts import day
    from adapters.compose import open_site
    from adapters.home import locate
    from governance.applicability import MarketHistory
    from governance.legacy import applicability_of

    with open_site(locate(home), config) as site, site.database.reading() as transaction:
        table = applicability_of(transaction)
        now = site.now()
    moment = day(on, now).date() if on else now.date()
    history = MarketHistory(day(placed, now).date() if placed else None)
    rows: list[dict[str, Any]] = [
        {
            "id": duty.duty_id, "title": duty.title, "section": duty.section,
            "source": duty.source, "law": duty.regime.law,
            "since": duty.since.isoformat() if duty.since else None,
            "date": asdict(duty.regime.date) if duty.since else None,
        }
        for duty in table.on(moment, jurisdiction, route, history)
    ]  # fmt: skip
    if as_json:
        head = {"on": moment.isoformat(), "jurisdiction": jurisdiction, "route": route}
        echo_json({**head, "duties": rows})
        return
    echo_table(
        f"{len(rows)} duties on {moment} ({jurisdiction}, {route}); not legal advice",
        ("id", "duty", "since", "date", "source", "law"),
        [
            (
                r["id"],
                r["title"],
                r["since"] or "always",
                date_words(r["date"]),
                r["source"],
                r["law"],
            )
            for r in rows
        ],
    )


def date_words(check: Mapping[str, str] | None) -> str:
    """Return in words how the first day of a duty was checked, and what to know about it."""
    if check is None:
        return "–"
    words = {"text": "text read", "secondary": "secondary source", "unverified": "NOT VERIFIED"}
    return words[check["checked"]] + (f"; {check['note']}" if check["note"] else "")


def legacy(
    plugin: Annotated[str, typer.Argument(help="Plugin name.")],
    on: Annotated[str, typer.Option(help="Day, YYYY-MM-DD; today by default.")] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a plugin is a legacy system (Art. 111(2)), and which change ended that."""
    from adapters.change.acts import day
    from adapters.compose import open_site
    from adapters.home import locate
    from governance.legacy import placing_of, status_of

    with open_site(locate(home), config) as site, site.database.reading() as transaction:
        moment = day(on, site.now()).date() if on else site.now().date()
        found = status_of(transaction, plugin, moment)
        placed, route = placing_of(transaction, plugin)
    if as_json:
        head = {"plugin": plugin, "on": moment, "route": route, "placed_on": placed}
        echo_json({**head, **asdict(found)})
        return
    word = "is a legacy system" if found.is_legacy else "is not a legacy system"
    since = placed or "never, as far as is recorded"
    typer.echo(f"{plugin} {word} on {moment}: placed {since}, border {found.border}")
    if found.ended_by:
        typer.echo(f"ended by the change to {found.ended_by}")


def applicability(
    document: Annotated[Path, typer.Argument(help="TOML: regimes and duties to lay over ours.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Lay the site's own dates over the data of duties; the change is recorded."""
    from adapters.change.acts import adopt_applicability
    from adapters.change.evidence import read_document

    with deciding(home, config) as (site, person):
        adopt_applicability(site, read_document(document), person)
    typer.echo("the site's own dates are in force")


def trace(
    tests: Annotated[Path, typer.Option(help="Folder of the tests.")] = Path("tests"),
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List each row of the regulatory matrix with the tests that stand for it."""
    from audit.errors import NotFoundError
    from governance.applicability import shipped
    from governance.requirement_map import requirement_map

    del home, config  # taken like everywhere; the map is of the source
    sources = {str(p): p.read_text("utf-8") for p in sorted(tests.rglob("test_*.py"))}
    if not sources:
        raise NotFoundError(
            f"expected tests below {tests.name}, found none",
            advice="Name the folder of the tests of the source: `--tests`.",
        )
    mapped = requirement_map(sources)
    rows = [(duty, mapped.get(duty.duty_id, ())) for duty in shipped().duties]
    if as_json:
        echo_json({duty.duty_id: list(found) for duty, found in rows})
        return
    missing = sum(not found for _, found in rows)
    echo_table(
        f"{len(rows) - missing} of {len(rows)} rows have a test",
        ("id", "duty", "tests"),
        [(duty.duty_id, duty.title, len(found) or "none") for duty, found in rows],
    )
