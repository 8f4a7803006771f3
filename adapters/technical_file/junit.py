"""Outcomes of tests from a JUnit XML file, as pytest writes it, by node id.

A test counts as passed when every one of its parameters passed; the worst outcome counts, and
skipped is worse than passed.  The file comes from outside: its size is limited, and a document
type, through which entities could multiply, is refused.

Read next: `acts.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from audit.errors import ConfigurationError

SIZE_LIMIT = 64 * 1024 * 1024
_WORST = ("passed", "skipped", "failed")


def outcomes(raw: bytes) -> dict[str, str]:
    """Return node id without parameters -> passed | skipped | failed.

    Raises
    ------
    ConfigurationError : it is not a JUnit file, too large, or holds no test.
    """
    if len(raw) > SIZE_LIMIT or b"<!DOCTYPE" in raw:
        raise ConfigurationError("expected a JUnit file without document type, at most 64 MB")
    try:
        root = ElementTree.fromstring(raw)
    except ElementTree.ParseError as error:
        raise ConfigurationError(f"expected JUnit XML, found a fault: {error}") from error
    found: dict[str, str] = {}
    for node, outcome in _cases(root):
        if _WORST.index(outcome) >= _WORST.index(found.get(node, "passed")):
            found[node] = outcome
    if not found:
        raise ConfigurationError(
            "expected tests in the JUnit file, found none",
            advice="Make it with `python -m pytest --junit-xml=FILE`.",
        )
    return dict(sorted(found.items()))


def _cases(root: ElementTree.Element) -> Iterator[tuple[str, str]]:
    for case in root.iter("testcase"):
        names = case.get("classname", "").split(".")
        name = case.get("name", "").partition("[")[0]
        if not all(names) or not name:
            continue
        # pytest writes tests.adapters.test_x, and tests.adapters.test_x.TestY for a class.
        modules = [part for part in names if not part.startswith("Test")]
        classes = [part for part in names if part.startswith("Test")]
        path = Path(*modules).with_suffix(".py").as_posix()
        yield "::".join([path, *classes, name]), _outcome(case)


def _outcome(case: ElementTree.Element) -> str:
    kinds = {child.tag for child in case}
    if kinds & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in kinds else "passed"
