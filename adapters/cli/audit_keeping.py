"""`osteon audit export|purge|erase`: the log in a file, how long it is kept, whom it forgets.

Read next: `../keeping/exporting.py`, `../keeping/purging.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.audit import app
from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json
from audit.errors import ConfigurationError


@app.command("export")
def export(
    output: Annotated[Path, typer.Argument(help="File to write.")],
    form: Annotated[
        str,
        typer.Option("--format", help="bundle, csv, ndjson, parquet, fhir or dicom."),
    ] = "bundle",
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind; repeatable.")] = None,
    start: Annotated[
        str, typer.Option("--from", help="Recorded at or after, ISO 8601 (UTC without a zone).")
    ] = "",
    end: Annotated[str, typer.Option("--to", help="Recorded before.")] = "",
    plugin: Annotated[str, typer.Option(help="Only about this plugin.")] = "",
    release: Annotated[str, typer.Option(help="Only this release: digest, or its start.")] = "",
    pseudonym: Annotated[str, typer.Option(help="Only about this patient, by pseudonym.")] = "",
    run: Annotated[str, typer.Option(help="Only about this run.")] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the log, or records of it, into a file; each export is itself on record.

    A bundle is the whole log with its checkpoints, key and small verifier: an outsider checks it
    alone.  The other formats hold the chosen records, each with its leaf hash, and the signed
    checkpoint of their tree lies beside the file.
    """
    from adapters.cli.account import person_here
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.keeping.exporting import Choice
    from adapters.keeping.exporting import export as write

    choice = Choice(
        tuple(kind or ()), _moment(start), _moment(end), plugin, release, pseudonym, run
    )
    with open_site(locate(home), config) as site:
        done = write(site, output, form, choice, person_here(site))
        key = site.keys.log.verifier.text()
    shown = {"records": done.count, form: str(output), "key": key}
    if as_json:
        echo_json(shown | {"sha256": done.sha256, "record": done.event_id})
    else:
        typer.echo(f"{done.count} records in {output}\nkey {key}\n{done.sha256}")


@app.command("evidence")
def evidence(
    output: Annotated[Path, typer.Argument(help="The zip to write.")] = Path("evidence.zip"),
    article: Annotated[
        str, typer.Option(help="Articles of the AI Act, with commas; all without it.")
    ] = "",
    start: Annotated[str, typer.Option("--from", help="Recorded at or after, ISO 8601.")] = "",
    end: Annotated[str, typer.Option("--to", help="Recorded before.")] = "",
    language: Annotated[str, typer.Option(help="Language of the index: en or de.")] = "en",
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write an evidence pack: records, proofs, keys and reports by article, signed.

    An outsider checks it with one command and no line of the suite: python3 PACK.zip --key KEY.
    """
    from adapters.cli.account import person_here
    from adapters.compose import open_site
    from adapters.evidence.packing import Asked, pack_evidence
    from adapters.home import locate

    if language not in ("en", "de"):
        raise ConfigurationError("expected the language en or de, found another")
    asked = Asked(
        tuple(article.split(",")), _moment(start), _moment(end), "de" if language == "de" else "en"
    )
    with open_site(locate(home), config) as site:
        done = pack_evidence(site, output, asked, person_here(site))
        key = site.keys.log.verifier.text()
    shown = {"records": done.count, "of": done.tree_size, "pack": str(output), "key": key}
    if as_json:
        echo_json(shown | {"sha256": done.sha256})
    else:
        typer.echo(f"{done.count} of {done.tree_size} records in {output}\n{done.sha256}")
        typer.echo(f"check it with: python3 {output} --key {key}")


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError("expected a moment in ISO 8601, found other text") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@app.command("purge")
def purge(
    propose: Annotated[
        bool, typer.Option("--propose", help="Keep the plan as an order (administrator).")
    ] = False,
    approve: Annotated[
        str, typer.Option(help="Carry out this order, as a second person (approver).")
    ] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Purge records whose time is over; without an option, show what is due.

    The policy is the section retention of the configuration: ten years by default, never under
    183 days, longer by state and for minors.  What a legal hold names stays.  The leaf hashes
    stay too, so every proof remains valid; `audit verify` tells a tombstone from a missing record.
    """
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.keeping import purging

    if propose and approve:
        raise ConfigurationError("expected --propose or --approve, found both")
    with open_site(locate(home), config) as site:
        if propose:
            order = purging.propose(site, signed_in(site))
            shown = {"order": order.name, "count": order.content["count"], "state": "proposed"}
        elif approve:
            done = purging.approve(site, approve, signed_in(site))
            shown = {"order": approve, "count": done.count, "state": "done"}
            shown |= {"record": done.event_id, "scrubbed": done.is_scrubbed}
        else:
            found = purging.plan(site)
            shown = {"count": found.count, "policy_sha256": found.policy.digest}
            shown |= {"before": found.before.isoformat() if found.before else ""}
    if as_json:
        echo_json(shown)
        return
    for key, value in shown.items():
        typer.echo(f"{key}: {value}")
    if shown.get("scrubbed") is False:
        typer.echo("Somebody reads: the old bytes leave the write-ahead log when nobody does.")


@app.command("erase")
def erase(
    patient: Annotated[
        str, typer.Option(help="Patient id; propose the erasure (administrator).")
    ] = "",
    issuer: Annotated[str, typer.Option(help="Issuer of the patient id, where it has one.")] = "",
    pseudonym: Annotated[str, typer.Option(help="Propose it by pseudonym instead.")] = "",
    approve: Annotated[
        str, typer.Option(help="Carry out this order, as a second person (approver).")
    ] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a patient: delete the salts and every identifier that this site keeps.

    The pseudonyms in the log can then be linked to nobody, and every proof stays valid.  Two
    persons decide.  Images and results in archives, results at other targets, and backups that
    were made before are the site's to erase; the objects of ours are listed.
    """
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.keeping import erasing

    if sum(map(bool, (patient, pseudonym, approve))) != 1:
        raise ConfigurationError("expected one of --patient, --pseudonym and --approve")
    with open_site(locate(home), config) as site:
        if approve:
            done = erasing.approve(site, approve, signed_in(site))
            shown: dict[str, object] = {"salts": done.salts, "rows": done.rows, "files": done.files}
            shown |= {"scrubbed": done.is_scrubbed, "record": done.event_id}
            shown |= {"objects_in_archives": list(done.objects)}
        else:
            person = signed_in(site)
            order = erasing.propose(
                site, person, patient_id=patient, issuer=issuer, pseudonym=pseudonym
            )
            shown = {"order": order, "state": "proposed"}
    if as_json:
        echo_json(shown)
        return
    for key, value in shown.items():
        typer.echo(f"{key}: {value}")
