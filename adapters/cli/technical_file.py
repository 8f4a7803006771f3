"""`osteon technical-file`: build it, see what is missing, record what persons answer for.

Commands that record need a login.  Exit code 3 when gaps block: the files are written all the
same, so that a person sees what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.cli.terminal import (
    REFUSED,
    ConfigOption,
    HomeOption,
    JsonOption,
    echo_json,
    echo_table,
    set_up_logging,
)
from audit.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.technical_file.build import Looked
    from adapters.web.access import Session

app = typer.Typer(no_args_is_help=True)
ReleaseArgument = Annotated[str, typer.Argument(help="Digest, plugin, or plugin-version.")]
FileArgument = Annotated[Path, typer.Argument(help="A JSON file.", exists=True, dir_okay=False)]


@app.command("build")
def build(
    release: ReleaseArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")],
    draft: Annotated[
        bool, typer.Option("--draft", help="Only write: no login, no record.")
    ] = False,
    pdf: Annotated[bool, typer.Option("--pdf/--no-pdf", help="Also print the pages.")] = True,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write Annex IV, both indexes, instructions, cards, declaration and the signed bundle."""
    set_up_logging()
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.technical_file.build import write

    with open_site(locate(home), config) as site:
        looked = _look(site, release)
        person = None if draft or not looked.file.release_digest else signed_in(site)
        built = write(site, looked, output, person, pdf=pdf)
    counts = looked.file.counts()
    if as_json:
        echo_json(
            {
                "folder": str(built.folder), "files": list(built.names), "counts": counts,
                "missing": list(looked.file.missing()), "bundle_sha256": built.bundle_sha256,
            }
        )  # fmt: skip
    else:
        typer.echo(f"{len(built.names)} files in {built.folder}; {_words(counts)}")
        if built.pdf_advice:
            typer.echo(f"no PDF: {built.pdf_advice}", err=True)
    _end(looked)


@app.command("status")
def status(
    release: ReleaseArgument,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every field with its status, and what stands in the way of clinical use."""
    from adapters.compose import open_site
    from adapters.home import locate
    from governance.technical_file.gates import risk_objections

    with open_site(locate(home), config) as site:
        looked = _look(site, release)
        risks = risk_objections(looked.sources)
    fields = [
        {
            "field": item.rule.path, "point": item.rule.point, "gen": item.rule.gen,
            "status": item.status, "reason": item.reason, "author": item.author,
        }
        for item in looked.file.fields
    ]  # fmt: skip
    if as_json:
        echo_json(
            {
                "release_digest": looked.file.release_digest, "counts": looked.file.counts(),
                "fields": fields, "stale": list(looked.stale), "built": looked.record is not None,
                "risk": [{"code": item.code, "text": item.text} for item in risks],
            }
        )  # fmt: skip
    else:
        echo_table(
            f"Technical file of {looked.file.plugin or 'nothing'} {looked.file.version}",
            ("point", "field", "by", "status", "reason"),
            [
                (f["point"], f["field"], f["gen"], "MISSING" if f["status"] == "missing"
                 else f["status"], f["reason"])
                for f in fields
            ],
        )  # fmt: skip
        typer.echo(_words(looked.file.counts()))
        if looked.stale:
            typer.echo(f"stale: {', '.join(looked.stale)}")
        for item in risks:
            typer.echo(f"{item.code}: {item.text}")
    _end(looked)


@app.command("state")
def state(
    release: ReleaseArgument,
    field: Annotated[str, typer.Argument(help="Path of a field, e.g. p2.b.assumptions.")],
    text: Annotated[str, typer.Option("--text", help="What you state.")] = "",
    file: Annotated[Path | None, typer.Option("--file", help="A text file instead.")] = None,
    not_applicable: Annotated[
        bool, typer.Option("--not-applicable", help="The field does not apply; the text says why.")
    ] = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """State what only a person can write; signed in your name, for this release."""
    from adapters.technical_file.acts import state_field

    stated = file.read_text("utf-8") if file is not None else text
    with _acting(home, config, release) as (site, digest, person):
        document = state_field(site, digest, field, stated, person, not_applicable=not_applicable)
    typer.echo(f"{field}: revision {document.revision}, {document.digest}")


@app.command("record")
def record(
    release: ReleaseArgument,
    kind: Annotated[str, typer.Argument(help="provider, standards, qms_map, placing, ...")],
    file: FileArgument,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Record a document: provider, standards, qms_map, placing, risk_register, accuracy, ..."""
    from adapters.technical_file import acts

    with _acting(home, config, release) as (site, digest, person):
        document = acts.record(site, kind, digest, _json(file), person)
    typer.echo(f"{kind} {document.name}: revision {document.revision}, {document.digest}")


@app.command("classify")
def classify(
    release: ReleaseArgument,
    file: FileArgument,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Sign the risk classification of a plugin (approvers)."""
    from adapters.technical_file import acts

    with _acting(home, config, release) as (site, digest, person):
        document = acts.classify(site, digest, _json(file), person)
    typer.echo(f"{document.name}: MDR class {document.content['mdr_class']}, signed")


@app.command("accept")
def accept(
    release: ReleaseArgument,
    hazard: Annotated[str, typer.Argument(help="Id of a hazard, e.g. H02.")],
    reason: Annotated[str, typer.Option(help="Why the residual risk is acceptable.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Accept the residual risk of one hazard, saying why."""
    from adapters.technical_file import acts

    with _acting(home, config, release) as (site, digest, person):
        document = acts.accept_risk(site, digest, hazard, reason, person)
    typer.echo(f"{document.name}: accepted by {person.account_id}")


@app.command("verify")
def verify(
    release: ReleaseArgument,
    junit: Annotated[Path, typer.Option(help="JUnit XML of the tests.", exists=True)],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Record how the tests of a release ended (`python -m pytest --junit-xml=FILE`)."""
    from adapters.technical_file import acts

    with _acting(home, config, release) as (site, digest, person):
        document = acts.verify(site, digest, junit.read_bytes(), person)
    ended = list(document.content["outcomes"].values())
    other = document.content["other_code"]
    typer.echo(f"{ended.count('passed')} of {len(ended)} tests passed")
    if other:
        typer.echo(f"other code than the release: {', '.join(other[:5])}", err=True)


@app.command("declare")
def declare(
    release: ReleaseArgument,
    place: Annotated[str, typer.Option(help="Where it is signed.")],
    name: Annotated[str, typer.Option(help="Who signs.")],
    function: Annotated[str, typer.Option(help="Function of who signs.")],
    on_behalf_of: Annotated[str, typer.Option(help="For whom.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Sign the EU declaration of conformity of a release (approvers)."""
    from adapters.technical_file import acts
    from governance.declaration import Signer

    with _acting(home, config, release) as (site, digest, person):
        document = acts.declare(site, digest, Signer(place, name, function, on_behalf_of), person)
    typer.echo(f"declared: {document.digest}")


@app.command("revoke")
def revoke(
    release: ReleaseArgument,
    reason: Annotated[str, typer.Option(help="Why it is taken back.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Take the declaration of a release back (approvers)."""
    from adapters.technical_file import acts

    with _acting(home, config, release) as (site, digest, person):
        document = acts.revoke(site, digest, reason, person)
    typer.echo(f"revoked: {document.digest}")


@app.command("example")
def example(release: ReleaseArgument, home: HomeOption = None, config: ConfigOption = None) -> None:
    """Record an example provider and what the software knows (research mode, to look at it)."""
    from adapters.technical_file.demonstration import fill_demonstration

    with _acting(home, config, release) as (site, digest, person):
        kinds = fill_demonstration(site, digest, person)
    typer.echo(f"recorded: {', '.join(kinds)}")


@contextmanager
def _acting(
    home: Path | None, config: Path | None, release: str
) -> Iterator[tuple[Site, str, Session]]:
    """Yield an open site, the digest of a release there, and who is signed in."""
    set_up_logging()
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate

    with open_site(locate(home), config) as site:
        yield site, site.registry.find(release).digest, signed_in(site)


def _look(site: Site, release: str) -> Looked:
    """Return the file of a release; of a site without any release, the empty one."""
    from adapters.technical_file.build import look, look_at_nothing

    try:
        return look(site, site.registry.find(release).digest)
    except NotFoundError:
        with site.database.reading() as transaction:
            if transaction.releases():
                raise
        return look_at_nothing(site)


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"expected JSON in {path.name}, found a fault") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"expected a JSON object in {path.name}")
    return document


def _words(counts: dict[str, int]) -> str:
    every = sum(counts.values())
    return (
        f"{counts['complete']} of {every} fields complete, {counts['n/a']} not applicable, "
        f"{counts['missing']} MISSING"
    )


def _end(looked: Looked) -> None:
    if looked.file.missing():
        raise typer.Exit(REFUSED)
