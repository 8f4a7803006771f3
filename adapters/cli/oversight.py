"""`osteon oversight`: rates of review, and assessments that were made elsewhere.

Read next: `governance/oversight/`.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.governance import deciding
from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json, echo_table
from audit.errors import NotFoundError

if TYPE_CHECKING:
    from governance.oversight.rates import Rate

app = typer.Typer(no_args_is_help=True)


@app.command("rates")
def rates(
    by: Annotated[
        str,
        typer.Option(help="plugin, release, site, structure, subgroup or fraction; all without."),
    ] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how often results are accepted, edited, rejected, each with n and exact interval."""
    from adapters.compose import open_site
    from adapters.home import locate
    from governance.oversight.rates import DIMENSIONS, rates_by

    if by and by not in DIMENSIONS:
        raise typer.BadParameter(f"expected one of {', '.join(DIMENSIONS)}")
    with open_site(locate(home), config) as site, site.database.reading() as transaction:
        rows = rates_by(transaction.assessment_cells(), by)
    if as_json:
        echo_json(
            {"by": by, "interval": "Clopper-Pearson 95 %", "rates": [asdict(r) for r in rows]}
        )
        return
    names = ("accept", "edit", "reject", "override", "unseen")
    echo_table(
        "Oversight",
        (by or "all", "decided", *names),
        [(r.name or "all", r.decided, *(_text(getattr(r, n)) for n in names)) for r in rows],
    )


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="JSON, one assessment a line.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Import assessments of trainings, blinded re-contours and later judgements (physicist)."""
    from adapters.oversight.importing import import_assessments

    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"expected a readable text file {file.name}, found none") from error
    with deciding(home, config) as (site, person):
        count = import_assessments(site, person, text)
    typer.echo(f"{count} assessments kept")


def _text(rate: Rate) -> str:
    if rate.value is None or rate.lower is None or rate.upper is None:
        return "–"
    interval = f"{100 * rate.lower:.0f}–{100 * rate.upper:.0f}"
    return f"{100 * rate.value:.0f} % ({rate.k}/{rate.n}; {interval})"
