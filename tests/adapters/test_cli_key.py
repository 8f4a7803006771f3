"""`osteon key`: what persons type, what comes back, and that no password is an argument."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from adapters import key_files
from adapters.cli.main import app
from audit.errors import AuthenticationError, ConfigurationError, RefusalError

RUNNER = CliRunner()
PASSWORD = "a much longer password"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with an administrator who is signed in, and an approver."""
    monkeypatch.setattr(key_files, "COST", 2**10)
    place = tmp_path / "home"
    once = password_in(osteon(place, "init"))
    login(place, "admin", once)
    once = password_in(osteon(place, "account", "add", "mri", "--role", "approver"))
    login(place, "mri", once)
    login(place, "admin", PASSWORD)
    return place


def osteon(home: Path, *arguments: str, env: dict[str, str] | None = None) -> Result:
    """Run a command on the home."""
    return RUNNER.invoke(app, [*arguments, "--home", str(home)], env=env)


def password_in(result: Result) -> str:
    """Return the one-time password that was printed."""
    found = re.search(r"one-time password: (\S+)", result.output)
    assert found is not None, result.output
    return found.group(1)


def login(home: Path, account: str, password: str) -> None:
    """Sign in."""
    env = {"OSTEON_PASSWORD": password, "OSTEON_NEW_PASSWORD": PASSWORD}
    assert osteon(home, "login", account, env=env).exit_code == 0


def listed(home: Path) -> dict[str, list[dict[str, str]]]:
    """Return what `key list` prints."""
    result = osteon(home, "key", "list", "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, list[dict[str, str]]] = json.loads(result.stdout)
    return found


def test_a_key_is_rotated_by_two_persons(home: Path) -> None:
    """Proposed, listed, confirmed by the other; the old key is shown as rotated out."""
    (old,) = [row for row in listed(home)["keys"] if row["purpose"] == "release"]
    made = osteon(home, "key", "rotate", "release", "--reason", "yearly")
    assert made.exit_code == 0
    (act,) = listed(home)["proposals"]
    assert act["by"] == "admin"
    assert act["act"] in made.output
    refused = osteon(home, "key", "confirm", act["act"])
    assert isinstance(refused.exception, RefusalError)
    login(home, "mri", PASSWORD)
    done = osteon(home, "key", "confirm", act["act"])
    assert done.exit_code == 0, done.output
    rows = {row["key_id"]: row for row in listed(home)["keys"] if row["purpose"] == "release"}
    assert rows[old["key_id"]]["state"] == "rotated out"
    assert rows[old["key_id"]]["reason"] == "yearly"
    (new,) = set(rows) - {old["key_id"]}
    assert new in done.output
    shown = json.loads(osteon(home, "key", "show", new).stdout)
    assert len(shown["public_key"]) == 44
    assert listed(home)["proposals"] == []
    assert osteon(home, "audit", "verify").exit_code == 0


def test_a_key_is_revoked_and_an_exception_made(home: Path) -> None:
    """At once by one person; a moment without its zone is refused."""
    (key,) = [row["key_id"] for row in listed(home)["keys"] if row["purpose"] == "certificate"]
    assert osteon(home, "key", "revoke", key, "--reason", "lost").exit_code == 0
    for since, error in (("2020-01-01", ConfigurationError), ("soon", ConfigurationError)):
        result = osteon(home, "key", "compromised", key, "--since", since, "--reason", "x")
        assert isinstance(result.exception, error)
    since = "2020-01-01T00:00+00:00"
    made = osteon(home, "key", "compromised", key, "--since", since, "--reason", "stolen")
    assert made.exit_code == 0, made.output
    osteon(home, "logout")
    nobody = osteon(home, "key", "revoke", key, "--reason", "lost")
    assert isinstance(nobody.exception, AuthenticationError)


def test_another_s_key_comes_from_a_file(home: Path, tmp_path: Path) -> None:
    """The public key may stand in a file; the proposal names it."""
    (tmp_path / "key").write_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
    made = osteon(
        home, "key", "trust", "publisher", "--public-key", str(tmp_path / "key"),
        "--reason", "contract",
    )  # fmt: skip
    assert made.exit_code == 0, (made.output, made.exception)
    assert listed(home)["proposals"][0]["key_id"] == "publisher"


def test_passwords_come_from_the_environment_alone(home: Path) -> None:
    """`protect` reads it from there; no command of the group has an option for one."""
    env = {"OSTEON_NEW_KEY_PASSWORD": "correct horse battery"}
    assert osteon(home, "key", "protect", "release", env=env).exit_code == 0
    (row,) = [row for row in listed(home)["keys"] if row["purpose"] == "release"]
    assert row["file"] == "encrypted"
    group = typer.main.get_command(app).commands["key"]  # type: ignore[attr-defined]
    options = {o for c in group.commands.values() for p in c.params for o in p.opts}
    assert not {o for o in options if "pass" in o or "pin" in o or "secret" in o}
