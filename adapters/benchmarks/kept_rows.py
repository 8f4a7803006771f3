"""Rows of the numerics table that were measured before: one JSON line each in a file.

A table that takes long is gone on with where it stopped: a row that the file holds is shown and
not measured again.  A row whose peer was missing is not kept.

Read next: `numerics.py`, `validation/benchmarks/table.py`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path

from audit.errors import ConfigurationError
from validation.benchmarks.table import Measured


def kept_rows(path: Path) -> dict[tuple[str, str], Measured]:
    """Return the rows of a file by function and peer, the last of each; none without the file.

    Raises
    ------
    ConfigurationError : a line is not a row; the file is left as it is.
    """
    if not path.exists():
        return {}
    names = {field.name for field in fields(Measured)}
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            document = json.loads(line)
            row = Measured(**{name: document[name] for name in names})
        except (ValueError, TypeError, KeyError) as cause:
            raise ConfigurationError(
                f"expected a row of the numerics table in line {number} of {path.name}"
            ) from cause
        found[row.function, row.peer] = row
    return found


def keep_row(path: Path, row: Measured) -> None:
    """Add a row to the file; one that was not measured is left out."""
    if row.missing:
        return
    document = asdict(row) | {"measured_at": datetime.now(UTC).isoformat(timespec="seconds")}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(document, ensure_ascii=False) + "\n")
