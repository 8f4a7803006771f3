"""`osteon audit`: verify the log, and our own checks.

Read next: `audit/verify.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json
from audit.errors import NotFoundError
from audit.verify import Summary

if TYPE_CHECKING:
    from audit.attested import Attested

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Verify and read the audit log."""


@app.command("verify")
def verify(
    home: HomeOption = None,
    config: ConfigOption = None,
    bundle: Annotated[Path | None, typer.Option(help="A bundle of `audit export`.")] = None,
    key: Annotated[
        str | None, typer.Option(help="Public key of the log as you have it, text or file.")
    ] = None,
    anchor: Annotated[
        list[Path] | None,
        typer.Option(help="A checkpoint that was kept elsewhere, or a folder of them; repeatable."),
    ] = None,
    witness: Annotated[
        list[str] | None,
        typer.Option(help="Public key of a witness that you trust, text or file; repeatable."),
    ] = None,
    tsa: Annotated[
        list[Path] | None,
        typer.Option(help="Certificates (PEM) that time-stamps must lead to; repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Recompute the tree over every record and check every signed checkpoint.

    With --bundle it needs no site: only the file, the public key and, to find a log that was
    cut or written anew, checkpoints that a witness or an anchor kept (--anchor), or the keys of
    witnesses (--witness) and authorities (--tsa) whose statements the bundle carries.
    """
    kept = [note for path in anchor or () for note in _notes(path)]
    if bundle:
        summary, attested = _verified_bundle(bundle, key, kept, witness or (), tsa or ())
    else:
        summary, attested = _verified_site(home, config, kept)
    if as_json:
        echo_json(
            {
                "size": summary.tree_size,
                "root_hash": summary.root_hash,
                "checkpoints": summary.checkpoint_count,
                "purged": summary.purged_count,
                "anchors": len(kept),
                "cosigned": [asdict(item) for item in attested.cosigned],
                "stamped": [asdict(item) for item in attested.stamped],
                "key_given": key is not None or bundle is None,
                "verified": True,
            }
        )
        return
    typer.echo(
        f"{summary.tree_size} records and {summary.checkpoint_count} checkpoints verified; "
        f"root {summary.root_hash}"
    )
    if summary.purged_count:
        typer.echo(f"{summary.purged_count} of them were purged in their time, each on record")
    for seen in attested.cosigned:
        typer.echo(f"{seen.name} cosigned the first {seen.size} records at {seen.at:%F %T}Z")
    for tree in attested.stamped:
        typer.echo(f"{tree.name} stamped the first {tree.size} records at {tree.stamped.at:%F %T}Z")
    if bundle and key is None:
        typer.echo("The key was the bundle's own: compare it with the one you were given (--key).")


def _verified_bundle(
    path: Path, key: str | None, kept: list[str], witnesses: Iterable[str], tsa: Iterable[Path]
) -> tuple[Summary, Attested]:
    from audit.bundle import check_bundle_attested, read_bundle, verify_bundle
    from audit.checkpoint import parse_key
    from audit.cosignature import parse_cosigner
    from audit.timestamp import read_authorities

    summary = verify_bundle(path, None if key is None else parse_key(key_text(key)), kept)
    keys = [parse_cosigner(key_text(text)) for text in witnesses]
    trusted = [found for file in tsa for found in read_authorities(_read_text(file).encode())]
    return summary, check_bundle_attested(read_bundle(path), kept, keys, trusted)


def _verified_site(
    home: Path | None, config: Path | None, kept: list[str]
) -> tuple[Summary, Attested]:
    from adapters.attestation.checking import attested_site
    from adapters.cli.account import person_here
    from adapters.compose import open_site
    from adapters.home import locate

    with open_site(locate(home), config) as site:
        site.log_read("verify", person_here(site))
        summary = site.verify_log(kept)
        return summary, attested_site(site.database, site.configuration.log, kept)


def _notes(path: Path) -> list[str]:
    """Return the checkpoint of a file, or those of a folder."""
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if not files:
        raise NotFoundError(f"expected checkpoints in {path.name}, found none")
    return [_read_text(file) for file in files]


def key_text(given: str) -> str:
    """Return the text of a public key that was given as it is, or as the name of a file."""
    return (given if "+" in given else _read_text(Path(given))).strip()


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"expected a readable text file {path.name}, found none") from error


@app.command("key")
def key(home: HomeOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the public keys of the log: give them to witnesses and to whoever verifies."""
    from adapters.compose import open_site
    from adapters.home import locate

    with open_site(locate(home), config) as site:
        keys = [site.keys.log.verifier.text(), site.keys.log_cosigner.key.text()]
    if as_json:
        echo_json({"ed25519": keys[0], "ml_dsa_44": keys[1]})
    else:
        typer.echo("\n".join(keys))


@app.command("vectors")
def vectors(
    folder: Annotated[Path, typer.Argument(help="A folder of JSON files, one proof each.")],
    as_json: JsonOption = False,
) -> None:
    """Hold our proof checks against vectors of others; `wantErr` proofs must be refused."""
    from audit.vectors import judge

    paths = sorted(folder.rglob("*.json")) if folder.is_dir() else []
    if not paths:
        raise NotFoundError("expected a folder with JSON vectors, found none")
    judged = [judge(str(path.relative_to(folder)), path.read_bytes()) for path in paths]
    failed = [item for item in judged if not item.passed]
    if as_json:
        named = [{"name": item.name, "reason": item.reason} for item in failed]
        echo_json({"passed": len(judged) - len(failed), "failed": len(failed), "failures": named})
    else:
        for item in failed:
            typer.echo(f"{item.name}: {item.reason}")
        typer.echo(f"{len(judged) - len(failed)} passed, {len(failed)} failed")
    if failed:
        raise typer.Exit(1)
