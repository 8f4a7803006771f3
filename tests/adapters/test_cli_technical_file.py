"""`osteon technical-file`: what a person types, what comes back, and the exit codes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from adapters.cli.main import app
from audit.errors import AuthenticationError, ConfigurationError, NotFoundError, RefusalError
from governance.technical_file.fields import FIELDS

RUNNER = CliRunner()
PASSWORD = "a much longer password"


def osteon(home: Path, *arguments: object, env: dict[str, str] | None = None) -> Result:
    """Run a command in this process on a home."""
    return RUNNER.invoke(app, [*(str(item) for item in arguments), "--home", str(home)], env=env)


def tf(home: Path, *arguments: object) -> Result:
    """Run a command of the group."""
    return osteon(home, "technical-file", *arguments)


def _sign_in(home: Path, account: str, once: str) -> None:
    env = {"OSTEON_PASSWORD": once, "OSTEON_NEW_PASSWORD": PASSWORD}
    assert osteon(home, "login", account, env=env).exit_code == 0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with the example release, on which an approver is signed in."""
    folder = tmp_path_factory.mktemp("cli-tf") / "home"
    once = re.search(r"one-time password: (\S+)", osteon(folder, "init").output)
    assert once is not None
    _sign_in(folder, "admin", once.group(1))
    added = osteon(folder, "account", "add", "anna", "--role", "approver")
    _sign_in(folder, "anna", added.output.rpartition(": ")[2].strip())
    assert osteon(folder, "release", "add", "example").exit_code == 0
    return folder


def _status(home: Path) -> dict[str, Any]:
    result = tf(home, "status", "example", "--json")
    assert result.exit_code == 3
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.reg("AIA-11.1")
def test_build_writes_everything_and_ends_with_refused(home: Path, tmp_path: Path) -> None:
    """Gaps block (exit code 3) and the files are there all the same, PDF left out when asked."""
    result = tf(home, "build", "example", "-o", tmp_path / "out", "--no-pdf", "--json")
    assert result.exit_code == 3, result.output
    printed = json.loads(result.stdout)
    assert printed["counts"]["missing"] == len(printed["missing"]) > 0
    for name in ("annex_iv.json", "index_mdr.json", "index_aia.json", "technical-file.html",
                 "technical-file.zip", "technical-file.zip.sig.json"):  # fmt: skip
        assert (tmp_path / "out" / name).is_file(), name
    assert not list((tmp_path / "out").rglob("*.new"))
    assert _status(home)["built"] is True


@pytest.mark.slow
def test_build_prints_the_pages_where_it_can(home: Path, tmp_path: Path) -> None:
    """Technical file and instructions come as PDF too."""
    pytest.importorskip("weasyprint")
    result = tf(home, "build", "example", "-o", tmp_path, "--draft")
    assert result.exit_code == 3, result.output
    for name in ("technical-file.pdf", "ifu/ifu-en.pdf", "ifu/ifu-de.pdf"):
        assert (tmp_path / name).read_bytes().startswith(b"%PDF-")
    assert not (tmp_path / "technical-file.zip.sig.json").exists()


def test_an_empty_site_can_be_looked_at(tmp_path: Path) -> None:
    """On a site without releases status and build show a file in which everything is missing."""
    empty = tmp_path / "home"
    assert osteon(empty, "init").exit_code == 0
    result = tf(empty, "status", "contouring", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["counts"]["missing"] == len(FIELDS)
    built = tf(empty, "build", "contouring", "-o", tmp_path / "out", "--no-pdf")
    assert built.exit_code == 3
    assert f"{len(FIELDS)} MISSING" in built.output


def test_an_unknown_release_is_not_found(home: Path) -> None:
    """Where there are releases, a slip of the pen is not taken for an empty site."""
    result = tf(home, "status", "exampel")
    assert isinstance(result.exception, NotFoundError)


def test_state_and_status(home: Path, tmp_path: Path) -> None:
    """What is stated, from text or file, stands in the status with its author."""
    text = tmp_path / "assumptions.txt"
    text.write_text("The CT is calibrated.\n", encoding="utf-8")
    result = tf(home, "state", "example", "p2.b.assumptions", "--file", text)
    assert result.exit_code == 0, result.output
    argument = ("p1.f.product_images", "--text", "standalone software", "--not-applicable")
    assert tf(home, "state", "example", *argument).exit_code == 0
    fields = {row["field"]: row for row in _status(home)["fields"]}
    assert fields["p2.b.assumptions"]["status"] == "complete"
    assert fields["p2.b.assumptions"]["author"] == "anna"
    assert fields["p1.f.product_images"]["status"] == "n/a"
    table = tf(home, "status", "example")
    assert table.exit_code == 3
    assert "MISSING" in table.output
    assert "RISK_REGISTER_MISSING" in table.output
    refused = tf(home, "state", "example", "p1.a.version", "--text", "2")
    assert isinstance(refused.exception, ConfigurationError)


def test_documents_are_recorded_from_files(home: Path, tmp_path: Path) -> None:
    """A document goes in by its kind; a file that is no JSON object, or malformed, does not."""
    good = tmp_path / "placing.json"
    good.write_text('{"schema": "osteon.placing/1", "first_placed": "2026-11-25"}', "utf-8")
    assert tf(home, "record", "example", "placing", good).exit_code == 0
    for content in ("[]", "not json", '{"first_placed": 3}'):
        bad = tmp_path / "bad.json"
        bad.write_text(content, "utf-8")
        result = tf(home, "record", "example", "placing", bad)
        assert isinstance(result.exception, ConfigurationError), content
    assert tf(home, "record", "example", "placing", tmp_path / "nowhere.json").exit_code == 2


def test_the_other_acts_are_refused_in_plain_words(home: Path, tmp_path: Path) -> None:
    """Without a register nothing is classified or accepted; without items nothing declared."""
    record = tmp_path / "classification.json"
    record.write_text('{"schema": "osteon.classification/1"}', "utf-8")
    junit = tmp_path / "junit.xml"
    junit.write_text('<testsuites><testcase classname="tests.a" name="b"/></testsuites>', "utf-8")
    who = ("--place", "P", "--name", "N", "--function", "F", "--on-behalf-of", "O")
    for arguments, error in (
        (("classify", "example", record), ConfigurationError),
        (("accept", "example", "H01", "--reason", "x"), NotFoundError),
        (("declare", "example", *who), RefusalError),
        (("revoke", "example", "--reason", "x"), NotFoundError),
    ):
        assert isinstance(tf(home, *arguments).exception, error), arguments
    verified = tf(home, "verify", "example", "--junit", junit)
    assert "1 of 1 tests passed" in verified.output
    example = tf(home, "example", "example")
    assert example.exit_code == 0
    assert "provider" in example.output


def test_without_login_nothing_is_recorded(tmp_path: Path) -> None:
    """Commands that record ask who acts; a draft needs nobody."""
    home = tmp_path / "home"
    assert osteon(home, "init").exit_code == 0
    assert osteon(home, "release", "add", "example").exit_code == 0
    for arguments in (
        ("state", "example", "p2.b.assumptions", "--text", "x"),
        ("build", "example", "-o", tmp_path / "out", "--no-pdf"),
    ):
        assert isinstance(tf(home, *arguments).exception, AuthenticationError)
    draft = tf(home, "build", "example", "-o", tmp_path / "out", "--draft", "--no-pdf")
    assert draft.exit_code == 3
    assert not (tmp_path / "out/technical-file.zip.sig.json").exists()
