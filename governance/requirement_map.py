"""Which tests stand for which row of the regulatory matrix, read from their source.

A test names its rows with ``@pytest.mark.reg("AIA-12.1")``, on the function, its class or its
module (``pytestmark``).  The source is parsed, not run, so that the map can be made wherever
the tests lie.

Source: SEAMS, Tests; REGULATORY.md section 8 (1).

Read next: `applicability.py`, which holds the rows.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping

MARK = "reg"


def requirement_map(sources: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return row id -> ids of its tests (``path::test``), both sorted.

    Parameters
    ----------
    sources : path of a test file -> its text; a file that is no Python is left out.
    """
    found: dict[str, set[str]] = {}
    for path, text in sources.items():
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        for row, test in _marks(tree, path):
            found.setdefault(row, set()).add(test)
    return {row: tuple(sorted(found[row])) for row in sorted(found)}


def without_test(rows: Collection[str], mapped: Mapping[str, object]) -> tuple[str, ...]:
    """Return the rows that no test names, in their order."""
    return tuple(row for row in rows if row not in mapped)


def _marks(tree: ast.Module, path: str) -> Iterator[tuple[str, str]]:
    everywhere = {row for node in tree.body for row in _module_marks(node)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            own = everywhere | {row for item in node.decorator_list for row in _rows(item)}
            for item in node.body:
                yield from _of_test(item, f"{path}::{node.name}", own)
        else:
            yield from _of_test(node, path, everywhere)


def _of_test(node: ast.stmt, place: str, inherited: set[str]) -> Iterator[tuple[str, str]]:
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return
    if not node.name.startswith("test"):
        return
    for row in inherited | {row for item in node.decorator_list for row in _rows(item)}:
        yield row, f"{place}::{node.name}"


def _module_marks(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets
    ):
        yield from _rows(node.value)


def _rows(expression: ast.expr) -> Iterator[str]:
    """Yield the arguments of every ``….mark.reg("…")`` inside an expression."""
    for node in ast.walk(expression):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == MARK
        ):
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value
