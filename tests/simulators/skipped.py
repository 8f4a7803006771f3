"""Name and count every skipped test at the end of a session, by the reason.

A test that could not run here proves nothing: whoever reads the last lines of `make test`
sees which ones those were.

Read next: `.ci/system-packages`, which installs what they need.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Write one block for each reason: how many, and their names."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        by_reason[reason.removeprefix("Skipped: ")].append(report.nodeid)
    if not by_reason:
        return
    total = sum(map(len, by_reason.values()))
    terminalreporter.section(f"{total} skipped, so not proved here")
    for reason, names in sorted(by_reason.items()):
        terminalreporter.write_line(f"{len(names)}: {reason}")
        for name in sorted(names):
            terminalreporter.write_line(f"    {name}")
