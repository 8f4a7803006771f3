"""Which files of two releases differ, by how many lines, and what they are about.

The subject of a code file is read from its name (`SUBJECTS`).  It helps a person to find
the change; it proves nothing about its effect, and what no pattern knows is plainly
``code``.

Read next: `difference_weights.py`.
"""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass
from fnmatch import fnmatchcase

from governance.release import Release

CODE, WEIGHTS = "code/", "weights/"

SUBJECTS = (
    ("*/network.py", "architecture"),
    ("*/networks/*.py", "architecture"),
    ("*/preprocess*.py", "preprocessing"),
    ("*/inputs.py", "preprocessing"),
    ("*/resample*.py", "preprocessing"),
    ("*/normalis*.py", "preprocessing"),
    ("*/orientation.py", "preprocessing"),
    ("*/field.py", "preprocessing"),
    ("*/postprocess*.py", "postprocessing"),
    ("*/contour.py", "postprocessing"),
    ("*/uncertainty.py", "uncertainty"),
    ("*/calibration.json", "thresholds"),
    ("*/explain.py", "explanation"),
    ("*/faithfulness.json", "explanation"),
    ("*/statistics.py", "monitoring"),
)
"""(pattern of the member, subject); the first that matches holds."""

_DOCUMENTS = {"card.md": "CARD", "criteria.json": "CRITERIA", "sbom.json": "SBOM"}


@dataclass(frozen=True, slots=True)
class FileChange:
    """One member that was added, removed or changed.

    Parameters
    ----------
    code : CODE_ADDED, CODE_REMOVED, CODE_CHANGED, CODE_LAYOUT_CHANGED (comments and layout
        only: the syntax trees are equal, docstrings included); for documents CARD_,
        CRITERIA_, SBOM_ or MEMBER_ with ADDED, REMOVED or CHANGED.
    path : name of the member, e.g. ``code/models/unet/network.py``.
    subject : see `SUBJECTS`; ``code`` where no pattern knows the file, ``document``.
    lines_added, lines_removed : of a text file; 0 and 0 for other content.
    """

    code: str
    path: str
    subject: str
    lines_added: int
    lines_removed: int


def file_changes(
    old: Release, new: Release
) -> tuple[tuple[FileChange, ...], tuple[FileChange, ...]]:
    """Return the changes of code files and those of all other members but weights."""
    before, after = old.manifest["members"], new.manifest["members"]
    names = [
        name
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name) and not name.startswith(WEIGHTS)
    ]
    found = [_change(name, _content(old, name), _content(new, name)) for name in names]
    code = tuple(change for change in found if change.path.startswith(CODE))
    return code, tuple(change for change in found if not change.path.startswith(CODE))


def _content(release: Release, name: str) -> bytes | None:
    return release.member(name) if name in release.manifest["members"] else None


def _change(name: str, before: bytes | None, after: bytes | None) -> FileChange:
    word = "ADDED" if before is None else "REMOVED" if after is None else "CHANGED"
    added, removed = _line_counts(before or b"", after or b"")
    if not name.startswith(CODE):
        return FileChange(
            f"{_DOCUMENTS.get(name, 'MEMBER')}_{word}", name, "document", added, removed
        )
    if word == "CHANGED" and name.endswith(".py") and _same_syntax(before or b"", after or b""):
        word = "LAYOUT_CHANGED"
    subject = next((subject for form, subject in SUBJECTS if fnmatchcase(name, form)), "code")
    return FileChange(f"CODE_{word}", name, subject, added, removed)


def _same_syntax(before: bytes, after: bytes) -> bool:
    """Tell whether two sources have the same syntax tree; False where one has none."""
    try:
        return ast.dump(ast.parse(before)) == ast.dump(ast.parse(after))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _line_counts(before: bytes, after: bytes) -> tuple[int, int]:
    try:
        old, new = before.decode("utf-8").splitlines(), after.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return 0, 0
    lines = list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]
    return (
        sum(line.startswith("+") for line in lines),
        sum(line.startswith("-") for line in lines),
    )
