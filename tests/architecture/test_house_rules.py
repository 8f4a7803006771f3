"""House rules as tests: floors, sizes, docstrings, names, output, packages."""

import ast
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("adapters", "audit", "governance", "models", "plugins", "validation")
FILE_LIMIT = 400
FUNCTION_LIMIT = 50
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "base", "manager", "util", "helper"}


def _sources() -> list[Path]:
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.py"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    ).stdout.split()  # fmt: skip
    paths = [Path(name) for name in tracked] or [
        path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py")
    ]
    return sorted(path for path in paths if path.parts[0] in ROOMS and (ROOT / path).exists())


SOURCES = _sources()


def _tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def test_there_are_sources_in_every_room() -> None:
    """The scan sees every room, so that no other rule passes by seeing nothing."""
    assert {path.parts[0] for path in SOURCES} == set(ROOMS)


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_module_keeps_the_house_rules(path: Path) -> None:
    """A module has a docstring, at most 400 lines, short functions, no print, a real name."""
    text = (ROOT / path).read_text(encoding="utf-8")
    tree = _tree(path)
    assert ast.get_docstring(tree), f"{path} has no module docstring"
    assert len(text.splitlines()) <= FILE_LIMIT, f"{path} is too long: split it by subject"
    assert path.stem not in FORBIDDEN_NAMES, f"{path} is named after nothing"
    long_functions = [
        f"{node.name} ({_length(node)})"
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and _length(node) > FUNCTION_LIMIT
    ]
    assert not long_functions, f"{path}: functions over {FUNCTION_LIMIT} lines: {long_functions}"


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body
    if (
        isinstance(body[0], ast.Expr)
        and isinstance(body[0].value, ast.Constant)
        and isinstance(body[0].value.value, str)
    ):
        if len(body) == 1:
            return 1
        return (node.end_lineno or 0) - (body[0].end_lineno or 0)
    return (node.end_lineno or 0) - body[0].lineno + 1


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_public_names_are_documented(path: Path) -> None:
    """Every public function and class says what the caller gets."""
    bare = [
        node.name
        for node in _tree(path).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef))
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not bare, f"{path}: no docstring on {bare}"


def test_floors_hold() -> None:
    """A room imports only from rooms below it."""
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:]


def test_import_linter_knows_every_folder() -> None:
    """No folder of plugins/ or models/ escapes the floors."""
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    folders = {
        f"{path.parts[0]}.{path.parts[1]}"
        for path in SOURCES
        if path.parts[0] in ("plugins", "models") and len(path.parts) > 2
    }
    missing = sorted(name for name in folders if f'"{name}"' not in settings)
    assert not missing, f"pyproject.toml's import-linter section does not name {missing}"


def test_import_names_are_ours_alone() -> None:
    """No other installed distribution owns one of our top-level names."""
    owners = packages_distributions()
    strangers = {
        room: sorted(set(owners.get(room, [])) - {"osteon"})
        for room in ROOMS
        if set(owners.get(room, [])) - {"osteon"}
    }
    assert not strangers


def test_tests_are_no_packages() -> None:
    """Tests are collected by importlib mode: no package among them, no base name twice."""
    assert not list((ROOT / "tests").rglob("__init__.py"))
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names)), sorted({n for n in names if names.count(n) > 1})


def test_namespace_rooms_have_no_init() -> None:
    """plugins and models stay namespace packages, so that a release can shadow them."""
    assert not (ROOT / "plugins" / "__init__.py").exists()
    assert not (ROOT / "models" / "__init__.py").exists()


@pytest.mark.parametrize("room", [*ROOMS, "plugins/host"])
def test_room_readme_is_short(room: str) -> None:
    """Each room has a README of at most sixty lines."""
    readme = ROOT / room / "README.md"
    assert readme.exists(), f"{room} has no README"
    assert len(readme.read_text(encoding="utf-8").splitlines()) <= 60
