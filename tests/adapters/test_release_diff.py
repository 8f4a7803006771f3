"""`osteon release diff` compares files and registered releases, for a person and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from adapters.cli.main import app
from adapters.release_builder import assemble, build_release
from audit.errors import NotFoundError, ReleaseTamperedError
from governance.release import build, open_release


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The example release, and one with another threshold, purpose and line of code."""
    folder = tmp_path_factory.mktemp("bundles")
    old = assemble("example", "1.0.0", folder)
    release = open_release(old)
    members = {name: release.member(name) for name in release.members}
    name = "code/plugins/example/plugin.py"
    members[name] = members[name].replace(b'"threshold_hu": 300.0', b'"threshold_hu": 250.0')
    declaration = dict(release.manifest) | {
        "version": "1.1.0",
        "parameters": {"threshold_hu": 250.0},
    }
    del declaration["members"]
    new = folder / "example-1.1.0.osteon"
    new.write_bytes(build(declaration, members))
    return old, new


def diff(*arguments: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, ["release", "diff", *map(str, arguments)])


def test_files_are_compared(bundles: tuple[Path, Path]) -> None:
    """Two files: version, threshold and the changed line are in the table and in the JSON."""
    text = diff(*bundles).output
    for word in ("THRESHOLD_CHANGED", "300 → 250", "VERSION_CHANGED", "+1 -1 lines"):
        assert word in text
    document = json.loads(diff(*bundles, "--json").stdout)
    assert document["changed_areas"] == ["identity", "parameters", "code"]
    assert document["codes"] == ["CODE_CHANGED", "THRESHOLD_CHANGED", "VERSION_CHANGED"]
    assert document["new_digest"] == open_release(bundles[1]).digest


def test_equal_files_are_the_same_release(bundles: tuple[Path, Path]) -> None:
    """A release against itself is said to be the same, with its digest."""
    result = diff(bundles[0], bundles[0])
    assert result.output.strip() == f"the same release: {open_release(bundles[0]).digest}"


def test_registered_releases_are_named(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    """A release that lies at the site is found by its name, beside a file."""
    home = ("--home", str(tmp_path / "home"))
    runner = CliRunner()
    assert runner.invoke(app, ["release", "add", "example", *home]).exit_code == 0
    result = diff("example-1.0.0", bundles[1], *home, "--json")
    assert json.loads(result.stdout)["old_digest"] == open_release(bundles[0]).digest
    assert isinstance(diff("hip", bundles[1], *home).exception, NotFoundError)


def test_what_is_no_release_is_refused(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    """A missing file is not found; a file of something else is refused."""
    assert isinstance(diff(tmp_path / "no.osteon", bundles[0]).exception, NotFoundError)
    (tmp_path / "text.osteon").write_text("no release")
    assert isinstance(diff(tmp_path / "text.osteon", bundles[0]).exception, ReleaseTamperedError)


def test_weights_are_shown_by_tensor(tmp_path: Path) -> None:
    """Two contouring releases that differ in one weight file show its tensors, with sizes."""
    old = build_release("contouring", tmp_path)
    release = open_release(old)
    members = {name: release.member(name) for name in release.members}
    first, second = (f"weights/{name}" for name in release.manifest["weights"][:2])
    members[first] = members[second]
    declaration = {k: v for k, v in release.manifest.items() if k != "members"}
    new = tmp_path / "other.osteon"
    new.write_bytes(build(declaration, members))
    text = diff(old, new).output
    assert "of 52 tensors, largest difference" in text
    assert "more; see --json" in text
