"""`osteon key`: whose signatures count here, and what becomes of this site's own keys.

Read next: `adapters/key_changes.py`; governance/KEYS.md.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.cli.governance import ReasonOption, deciding
from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json, echo_table
from audit.errors import ConfigurationError

if TYPE_CHECKING:
    from adapters.compose import Site
    from governance.key_acts import Proposal

app = typer.Typer(no_args_is_help=True)
KeyArgument = Annotated[str, typer.Argument(help="Id of a key: `osteon key list`.")]
PurposeArgument = Annotated[
    str, typer.Argument(help="release, certificate, report, plan or log: a key of this site.")
]


@app.command("list")
def list_keys(
    home: HomeOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List the keys that are known here, with their dates, and open proposals."""
    from adapters.compose import open_site
    from adapters.home import locate
    from governance import key_acts

    with open_site(locate(home), config) as site, site.database.reading() as transaction:
        keys = [_row(site, key.key_id) for key in site.registry.trust()]
        acts = [key_acts.decode(d.content) for d in transaction.governed_all(key_acts.KIND)]
    open_acts = [
        {
            "act": act.act_id, "action": act.action, "key_id": act.key_id,
            "by": act.person, "at": act.at, "reason": act.reason,
        }
        for act in acts
        if act.state == "proposed"
    ]  # fmt: skip
    if as_json:
        echo_json({"keys": keys, "proposals": open_acts})
        return
    columns = ("key_id", "purpose", "own", "state", "valid_from", "until", "file", "reason")
    rows = [tuple(row[name] or "–" for name in columns) for row in keys]
    echo_table("Keys", ("key", *columns[1:]), rows)
    for act in open_acts:
        typer.echo(
            f"proposed: {act['action']} {act['key_id']} by {act['by']}; "
            f"confirm with `osteon key confirm {act['act']}`"
        )


@app.command("show")
def show(key: KeyArgument, home: HomeOption = None, config: ConfigOption = None) -> None:
    """Show a key with its public part, to be given to others."""
    import base64

    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.key_changes import find_key

    with open_site(locate(home), config) as site:
        found = find_key(site, key)
        row = _row(site, key)
        verifier = site.keys.log.verifier
    public = {"public_key": base64.b64encode(found.public_key).decode()}
    if found.public_key == verifier.public:
        public["verifier"] = verifier.text()
    echo_json({**row, **public, "kept": sorted(found.kept or ())})


@app.command("trust")
def trust(
    key: Annotated[str, typer.Argument(help="Id under which its signatures name it.")],
    public_key: Annotated[str, typer.Option(help="32 bytes in base64, or a file with them.")],
    reason: ReasonOption,
    purpose: Annotated[str, typer.Option(help="What its signatures count for.")] = "release",
    valid_from: Annotated[str, typer.Option(help="ISO 8601 with zone; now by default.")] = "",
    valid_until: Annotated[str, typer.Option(help="ISO 8601 with zone; open by default.")] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Propose that another's key counts here (administrator); an approver confirms it."""
    from adapters.key_changes import given_key, propose_trust

    path = Path(public_key)
    text = path.read_text("ascii") if path.is_file() else public_key
    with deciding(home, config) as (site, person):
        begins = _moment(valid_from) if valid_from else site.now()
        until = _moment(valid_until) if valid_until else None
        made = propose_trust(site, given_key(key, purpose, text, begins, until), reason, person)
    _echo_proposed(made)


@app.command("rotate")
def rotate(
    purpose: PurposeArgument,
    reason: ReasonOption,
    token: Annotated[
        str, typer.Option(help="PKCS#11 URI of the new key; it is made where it is not there.")
    ] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Propose a new key of this site (administrator); an approver confirms it."""
    from adapters.key_changes import propose_rotation

    with deciding(home, config) as (site, person):
        made = propose_rotation(site, purpose, reason, person, token)
    _echo_proposed(made)


@app.command("compromised")
def compromised(
    key: KeyArgument,
    since: Annotated[str, typer.Option(help="First moment of danger; ISO 8601 with zone.")],
    reason: ReasonOption,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Propose that what was on record before a revoked key was in danger counts on."""
    from adapters.key_changes import propose_exception

    with deciding(home, config) as (site, person):
        made = propose_exception(site, key, _moment(since), reason, person)
    _echo_proposed(made)


@app.command("confirm")
def confirm(
    act: Annotated[str, typer.Argument(help="Id of the proposal: `osteon key list`.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Do what an administrator has proposed about a key (approver)."""
    from adapters.key_changes import confirm as do

    with deciding(home, config) as (site, person):
        done = do(site, act, person)
        trust = site.registry.trust()
    typer.echo(f"{done.action} {done.key_id}: done")
    if done.action == "rotate":
        new = [key for key in trust if key.purpose == done.purpose and key.own][-1]
        typer.echo(f"the {done.purpose} key is {new.key_id}; start running services again")


@app.command("revoke")
def revoke(
    key: KeyArgument, reason: ReasonOption, home: HomeOption = None, config: ConfigOption = None
) -> None:
    """Stop trusting a key at once (administrator or approver); nothing takes it back."""
    from adapters.key_changes import revoke as stop

    with deciding(home, config) as (site, person):
        found = stop(site, key, reason, person)
    typer.echo(f"{found.key_id} is revoked since {found.revoked_at}: nothing it signed counts")


@app.command("protect")
def protect(
    purpose: PurposeArgument,
    plain: Annotated[bool, typer.Option("--plain", help="Take the password off.")] = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Encrypt a key file under a password, or under a new one (administrator).

    Passwords are asked for, or come from ``OSTEON_KEY_PASSWORD`` and ``OSTEON_NEW_KEY_PASSWORD``,
    or from the files that these names with ``_FILE`` name; never from an argument.
    """
    from adapters.key_changes import protect as rewrite
    from adapters.key_passwords import new_key_password

    with deciding(home, config) as (site, person):
        form = rewrite(site, purpose, None if plain else new_key_password, person)
    typer.echo(f"{purpose}.key is {form}")


def _row(site: Site, key_id: str) -> dict[str, Any]:
    from adapters.key_changes import find_key
    from adapters.key_files import form_of
    from adapters.keys import key_path

    key = find_key(site, key_id)
    until = key.revoked_at or key.valid_until
    state = key.state(site.now())
    form = form_of(key_path(site.home, key.purpose)) if key.own and state == "in force" else ""
    return {
        "key_id": key.key_id,
        "purpose": key.purpose,
        "own": "own" if key.own else "",
        "state": state,
        "valid_from": key.valid_from.isoformat(timespec="seconds"),
        "until": until.isoformat(timespec="seconds") if until else "",
        "compromised_from": key.compromised_from,
        "reason": key.reason,
        "file": form,
    }


def _echo_proposed(made: Proposal) -> None:
    typer.echo(f"proposed: {made.action} {made.key_id}")
    typer.echo(f"an approver confirms it: osteon key confirm {made.act_id}")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise ConfigurationError(
            f"expected a time with its zone, found {text[:40]!r}",
            advice="Write it like 2026-11-25T09:30+01:00.",
        )
    return moment
