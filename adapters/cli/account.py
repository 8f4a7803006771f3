"""`osteon account`, `osteon login`, `osteon logout`: who acts at the command line.

Commands that change governed state need a login: a short-lived signed token in the home,
readable by its owner only (SEAMS: Persons).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json, echo_table
from audit.errors import AuthenticationError

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.web.access import Session

app = typer.Typer(no_args_is_help=True)
TOKEN = "login.token"


@app.command("add")
def add(
    account_id: Annotated[str, typer.Argument(help="Short id; it appears in records.")],
    role: Annotated[str, typer.Option(help="clinician, physicist, engineer, approver, ...")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Add an account and show its one-time password once (administrators only)."""
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.passwords import add_account

    with open_site(locate(home), config) as site:
        session = signed_in(site)
        if session.role != "administrator":
            raise AuthenticationError("expected an administrator to add accounts")
        password = add_account(site, account_id, role, f"account:{session.account_id}")
    typer.echo(f"account {account_id} ({role}); one-time password: {password}")


@app.command("list")
def list_accounts(
    home: HomeOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List accounts with their roles."""
    from adapters.compose import open_site
    from adapters.home import locate

    with open_site(locate(home), config) as site, site.database.reading() as transaction:
        rows = [
            {
                "account": a.account_id,
                "role": a.role,
                "state": "disabled" if a.disabled_at else "open",
            }
            for a in transaction.accounts()
        ]
    if as_json:
        echo_json(rows)
    else:
        echo_table("Accounts", ("account", "role", "state"), [tuple(r.values()) for r in rows])


@app.command("disable")
def disable(account_id: str, home: HomeOption = None, config: ConfigOption = None) -> None:
    """Close an account from now on (administrators only)."""
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.passwords import disable_account

    with open_site(locate(home), config) as site:
        session = signed_in(site)
        if session.role != "administrator":
            raise AuthenticationError("expected an administrator to disable accounts")
        disable_account(site, account_id, f"account:{session.account_id}")
    typer.echo(f"account {account_id} is disabled")


def login(
    account_id: Annotated[str, typer.Argument(help="Account id.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Sign in at the command line for eight hours; the password is asked for.

    A one-time password has to be replaced at once; in scripts the passwords may come from
    ``OSTEON_PASSWORD`` and ``OSTEON_NEW_PASSWORD``.
    """
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.passwords import change_password, sign_in
    from adapters.web import access

    with open_site(locate(home), config) as site:
        password = _secret("OSTEON_PASSWORD", "Password")
        account = sign_in(site, account_id, password, "command-line")
        if account.must_change_password:
            fresh = _secret("OSTEON_NEW_PASSWORD", "New password (at least 12 characters)")
            account = change_password(site, account_id, password, fresh)
        session = access.open_session(account, site.now())
        _write(site.home.keys / TOKEN, access.encode(session, site.keys.session))
    typer.echo(f"signed in as {account.account_id} ({account.role})")


def logout(home: HomeOption = None, config: ConfigOption = None) -> None:
    """Forget the login of this home."""
    from adapters.home import locate

    del config  # taken like everywhere, but the login lies in the home
    (locate(home).keys / TOKEN).unlink(missing_ok=True)
    typer.echo("signed out")


def signed_in(site: Site) -> Session:
    """Return who is signed in at the command line; AuthenticationError if nobody is."""
    from adapters.web import access

    path = site.home.keys / TOKEN
    token = path.read_text(encoding="ascii") if path.exists() else ""
    session = access.decode(token, site.keys.session, site.now())
    if session is None:
        raise AuthenticationError(
            "expected somebody to be signed in, found nobody",
            advice="Sign in with `osteon login ACCOUNT`.",
        )
    with site.database.reading() as transaction:
        account = transaction.account(session.account_id)
    if not access.still_holds(session, account, site.now()):
        raise AuthenticationError(
            "expected an account as it was at sign-in, found it disabled or changed",
            advice="Sign in again with `osteon login ACCOUNT`.",
        )
    return session


def person_here(site: Site) -> str:
    """Return who acts at this terminal, for the record: the account, or whoever is local."""
    try:
        return f"account:{signed_in(site).account_id}"
    except AuthenticationError:
        return "account:local"


def _secret(variable: str, prompt: str) -> str:
    return os.environ.get(variable) or str(typer.prompt(prompt, hide_input=True))


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
