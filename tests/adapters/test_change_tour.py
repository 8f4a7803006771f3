"""The page docs/change-control.md: every command works in its order; its table is the code's."""

from __future__ import annotations

import copy
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from adapters.cli.main import app
from adapters.cli.terminal import report_error
from audit.errors import SuiteError
from governance.change.kinds import KINDS
from governance.release import build
from tests.simulators.small_releases import (
    DECLARATION,
    MEMBERS,
    Change,
    put,
    renumbered,
    small_release,
)

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "change-control.md"
EXAMPLES = ROOT / "docs" / "examples" / "change"
PASSWORD = "a long enough password"
NEW = (put("parameters.threshold", 0.55), renumbered("1.3.0", "04012345000024"))


def commands() -> list[str]:
    """Return the commands of the page in their order."""
    blocks = re.findall(r"^```\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    found = [line for block in blocks for line in block.splitlines()]
    assert all(line.startswith("osteon ") for line in found)
    return found


def osteon(line: str) -> Result:
    """Run a command line of the page."""
    return CliRunner().invoke(app, shlex.split(line)[1:])


def answered(line: str) -> Any:
    """Run a command with --json and return what it printed."""
    result = osteon(f"{line} --json")
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def write(path: Path, *changes: Change) -> str:
    """Write a small release and return its digest."""
    declaration, content = copy.deepcopy(DECLARATION), dict(MEMBERS)
    for change in changes:
        change(declaration, content)
    path.write_bytes(build(declaration, content))
    return small_release(*changes).digest


@pytest.fixture(scope="module")
def signed_in_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an approver signed in."""
    home = tmp_path_factory.mktemp("tour") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSTEON_HOME", str(home))
        patch.delenv("OSTEON_CONFIG", raising=False)
        first = osteon("osteon init").output
        sign_in(patch, "admin", first)
        sign_in(patch, "anna", osteon("osteon account add anna --role approver").output)
    return home


def sign_in(patch: pytest.MonkeyPatch, account: str, printed: str) -> None:
    """Sign in with the one-time password that was printed, and replace it."""
    word = re.search(r"password[^:]*: (\S+)", printed)
    assert word, printed
    patch.setenv("OSTEON_PASSWORD", word[1])
    patch.setenv("OSTEON_NEW_PASSWORD", f"{PASSWORD} {account}")
    result = osteon(f"osteon login {account}")
    assert result.exit_code == 0, (result.output, result.exception)


@pytest.fixture
def folder(signed_in_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the page names, beside a home of their own."""
    shutil.copytree(signed_in_home, tmp_path / "home")
    monkeypatch.setenv("OSTEON_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OSTEON_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    old, new = write(tmp_path / "old.osteon"), write(tmp_path / "new.osteon", *NEW)
    for name in ("plan.toml", "change.toml", "report.json"):
        text = (EXAMPLES / name).read_text("utf-8")
        text = text.replace(f"sha256:{'0' * 64}", old)
        (tmp_path / name).write_text(text.replace('"NEW"', f'"{new}"').replace('"OLD"', f'"{old}"'))
    shutil.copytree(ROOT / "tests" / "governance", tmp_path / "tests")
    return tmp_path


@pytest.mark.reg("FDA-PCCP1")
@pytest.mark.reg("AIA-43.4")
def test_the_tour_works_as_it_is_written(folder: Path) -> None:
    """Each command of the page ends well; the change is D3 without, D1 with the plan."""
    classes = []
    for line in commands():
        result = osteon(line)
        assert result.exit_code == 0, (line, result.output, result.exception)
        if "classify" in line:
            classes.append(result.output[:2])
    assert classes == ["D3", "D1"]
    assert "not measured" not in osteon("osteon change budget knee").output
    log = osteon("osteon audit verify")
    assert log.exit_code == 0, log.output


def test_answers_as_json(folder: Path) -> None:
    """With --json class, reasons, kinds, gates and duties come as one document each."""
    found = answered("osteon change classify old.osteon new.osteon")
    assert (found["class"], found["may_activate"], found["udi"]) == ("D3", False, "DI")
    assert [kind["key"] for kind in found["kinds"]] == ["threshold_outside_band"]
    assert "SECTION_2" in [reason["code"] for reason in found["reasons"]]
    same = answered("osteon change classify old.osteon old.osteon")
    assert (same["class"], same["detected"]) == ("D0", [])
    before = answered("osteon change duties --on 2028-08-01")["duties"]
    dates = {row["id"]: row["date"] for row in before}
    assert dates["NIS2-1"]["checked"] == "text"
    assert dates["TLOG-1"] is None
    after = answered("osteon change duties --on 2028-08-02")["duties"]
    assert {"AIA-12.1", "AIA-43.4"} <= {r["id"] for r in after} - {r["id"] for r in before}
    older = answered("osteon change duties --on 2029-01-01 --placed 2027-01-01")["duties"]
    assert "AIA-12.1" not in {row["id"] for row in older}
    traced = answered("osteon change trace")
    assert any(name.endswith("test_each_change_has_its_class") for name in traced["AIA-43.4"])


WRONG = (
    ("osteon change duties --on soon", 3, "date"),
    ("osteon change duties --route by-foot", 1, "mdr-iib"),
    ("osteon change budget knee", 1, "baseline"),
    ("osteon change plan verify plan.toml", 1, "sign"),
    ("osteon change plan verify nothing.json", 1, "nothing.json"),
    ("osteon change plan adopt nothing.json", 1, "nothing.json"),
    ("osteon change classify old.osteon missing.osteon", 1, "missing.osteon"),
    ("osteon change classify old.osteon new.osteon --context report.json", 1, "known keys"),
    ("osteon change reference knee --kind letter --id x --from a --until b", 1, "knee"),
    ("osteon change trace --tests home", 1, "tests"),
)


def test_what_goes_wrong_is_said(folder: Path) -> None:
    """A wrong date, route, file or name ends with one readable error and its code."""
    for line, code, words in WRONG:
        error = osteon(line).exception
        assert isinstance(error, SuiteError), (line, error)
        assert report_error(error) == code, line
        assert words in f"{error} {error.advice}", line


def test_the_table_of_the_page_is_the_codes() -> None:
    """The page shows the rows of the table as the code has them."""
    section = PAGE.read_text("utf-8").partition("## The 25 kinds")[2]
    shown = [line for line in section.splitlines() if re.match(r"\| \d", line)]
    expected = [
        f"| {kind.number} | {kind.title} (`{kind.key}`) | {kind.default} | {kind.flips} |"
        for kind in KINDS.values()
        if kind.number
    ]
    assert shown == expected
    assert len(expected) == 25
