"""`osteon backup`, `osteon restore`, `osteon upgrade`: a site in one file, back, and onwards.

Read next: `../keeping/backup.py`, `../keeping/restoring.py`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json
from audit.errors import NotFoundError

VARIABLE = "OSTEON_BACKUP_PASSPHRASE"


def backup(
    output: Annotated[Path, typer.Argument(help="File to write.")],
    keys: Annotated[
        bool, typer.Option("--keys/--no-keys", help="Keep the secret keys in it, too.")
    ] = True,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a backup of the site, which may be at work meanwhile.

    It holds the databases, releases, outbox, configuration, evidence and keys, sealed under a
    passphrase (asked for, or OSTEON_BACKUP_PASSPHRASE) and signed by the log's key.  Keep what
    an archive holds by the archive's own backup.
    """
    from adapters.cli.account import person_here
    from adapters.compose import open_site
    from adapters.home import locate, locate_configuration
    from adapters.keeping.backup import back_up

    place = locate(home)
    with open_site(place, config) as site:
        done = back_up(
            site, output, _passphrase(confirm=True), person_here(site),
            with_keys=keys, configuration=locate_configuration(place, config),
        )  # fmt: skip
        key = site.keys.log.verifier.text()
    if as_json:
        echo_json(
            {"backup": str(output), "sha256": done.sha256, "records": done.tree_size, "key": key}
        )
    else:
        typer.echo(f"{done.member_count} files and {done.tree_size} records in {output}")
        typer.echo(f"{done.sha256}\nkey {key}")


def restore(
    source: Annotated[Path, typer.Argument(help="File of `osteon backup`.")],
    key: Annotated[
        str, typer.Option(help="Public key of the log as you have it, text or file.")
    ] = "",
    keys: Annotated[
        Path | None, typer.Option(help="Folder with the secret keys, if the backup has none.")
    ] = None,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into an empty home; every file and every record is verified first.

    What was recorded after the backup is not in it.  A checkpoint that a witness or an anchor
    kept since shows that (`osteon audit verify --anchor`); erasures since have to be repeated.
    """
    from adapters.cli.audit import key_text
    from adapters.home import locate
    from adapters.keeping.restoring import restore as put_back
    from audit.checkpoint import parse_key

    if not source.is_file():
        raise NotFoundError(f"expected a backup {source.name}, found none")
    root = locate(home).root
    done = put_back(
        source, root, _passphrase(), key=parse_key(key_text(key)) if key else None,
        keys=keys, configuration=config,
    )  # fmt: skip
    if as_json:
        echo_json(
            {
                "home": str(root),
                "made_at": done.made_at,
                "records": done.tree_size,
                "root_hash": done.root_sha256,
                "sha256": done.sha256,
                "key_given": done.is_key_given,
            }
        )
        return
    typer.echo(f"{root} is as it was at {done.made_at}: {done.tree_size} records, all verified")
    typer.echo(
        "What was recorded after that is gone here. Whoever kept a later checkpoint sees it:\n"
        "osteon audit verify --anchor CHECKPOINT"
    )
    if not done.is_key_given:
        typer.echo("The key was the backup's own: compare it with the one you were given (--key).")


def upgrade(
    home: HomeOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Bring the databases of a site to this version, and verify the whole log.

    Every command does it at its first start; here it is done alone, and shown.  Make a backup
    before: an older suite does not open a newer database.
    """
    from adapters.cli.account import person_here
    from adapters.compose import open_site, revision_of
    from adapters.home import locate

    place = locate(home)
    before = revision_of(place, config)
    with open_site(place, config) as site:
        site.log_read("upgrade", person_here(site))
        summary = site.verify_log()
        after = site.database.check()
    if as_json:
        echo_json({"before": before, "after": after, "records": summary.tree_size})
    else:
        typer.echo(f"{before or 'no database'} -> {after}")
        typer.echo(f"{summary.tree_size} records verified; root {summary.root_hash}")


def _passphrase(*, confirm: bool = False) -> str:
    return os.environ.get(VARIABLE) or str(
        typer.prompt("Passphrase of the backup", hide_input=True, confirmation_prompt=confirm)
    )
