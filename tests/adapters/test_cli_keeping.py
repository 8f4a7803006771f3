"""The commands that keep the log: export, purge, erase, backup, restore, upgrade."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters.cli.main import app
from adapters.compose import open_site
from adapters.home import Home
from adapters.passwords import add_account
from audit.errors import ConfigurationError, RefusalError
from tests.simulators.audit_records import record_of

RUNNER = CliRunner()


def _run(*arguments: object) -> Any:
    return RUNNER.invoke(app, [str(part) for part in arguments])


def _document(*arguments: object) -> Any:
    result = _run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A site with an administrator, an approver, a patient and twenty old records."""
    place = Home(tmp_path / "home").create()
    with open_site(place) as site:
        passwords = {role: add_account(site, role, role) for role in ("administrator", "approver")}
        site.pseudonyms.enrol("1.2.3.4.5.6.7", "4711", "HOSPITAL")
        with site.database.transaction() as transaction:
            for _ in range(20):
                site.log.append(transaction, record_of("fault", now=site.now().replace(year=2001)))
        site.seal(force=True)
    (tmp_path / "passwords.json").write_text(json.dumps(passwords))
    return place.root


def _login(home: Path, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = json.loads((home.parent / "passwords.json").read_text())
    monkeypatch.setenv("OSTEON_PASSWORD", passwords[account])
    passwords[account] = f"a long password of {account}"
    monkeypatch.setenv("OSTEON_NEW_PASSWORD", passwords[account])
    (home.parent / "passwords.json").write_text(json.dumps(passwords))
    result = _run("login", account, "--home", home)
    assert result.exit_code == 0, result.output


def test_purge_and_erase_by_two_persons(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator proposes, an approver carries it out, and the log verifies."""
    assert _document("audit", "purge", "--home", home)["count"] == 20
    _login(home, "administrator", monkeypatch)
    order = _document("audit", "purge", "--propose", "--home", home)["order"]
    erase = ("audit", "erase", "--home", home)
    other = _document(*erase, "--patient", "4711", "--issuer", "HOSPITAL")["order"]
    refused = _run("audit", "purge", "--approve", order, "--home", home)
    assert isinstance(refused.exception, RefusalError)
    _login(home, "approver", monkeypatch)
    assert _document("audit", "purge", "--approve", order, "--home", home)["count"] == 20
    assert _document(*erase, "--approve", other)["salts"] >= 2
    assert _document("audit", "verify", "--home", home)["verified"]
    assert isinstance(_run(*erase).exception, ConfigurationError)


def test_export_by_the_command(home: Path, tmp_path: Path) -> None:
    """Filters and formats as the help says; the file is there and counted."""
    path = tmp_path / "out.csv"
    done = _document(
        "audit", "export", path, "--format", "csv", "--kind", "fault", "--to", "2002-01-01",
        "--home", home,
    )  # fmt: skip
    assert done["records"] == 20
    assert len(path.read_text().splitlines()) == 21
    wrong = _run("audit", "export", path, "--from", "yesterday", "--home", home)
    assert isinstance(wrong.exception, ConfigurationError)


def test_backup_restore_and_upgrade_by_the_command(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site goes into a file, comes back elsewhere, and verifies there."""
    monkeypatch.setenv("OSTEON_BACKUP_PASSPHRASE", "correct horse battery staple")
    done = _document("backup", tmp_path / "site.backup", "--home", home)
    back = _document(
        "restore", tmp_path / "site.backup", "--key", done["key"], "--home", tmp_path / "new"
    )
    assert back["records"] == done["records"]
    assert back["key_given"]
    assert _document("audit", "verify", "--home", tmp_path / "new")["verified"]
    shown = _document("upgrade", "--home", tmp_path / "new")
    assert shown["before"] == shown["after"]
