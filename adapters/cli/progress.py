"""Wait for runs at the terminal: drive the site and show what is going on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from audit.errors import SuiteError

if TYPE_CHECKING:
    from adapters.compose import Site

FINAL = ("done", "refused", "abstained", "failed", "discarded")


@contextmanager
def spinner(text: str, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show a line of progress on the error stream; the yielded function changes it."""
    if quiet:
        yield lambda _: None
        return
    from rich.console import Console

    console = Console(file=sys.stderr)
    with console.status(text) as status:

        def say(words: str) -> None:
            if console.is_terminal:
                status.update(words)
            else:
                console.print(words, highlight=False)

        say(text)
        yield say


def wait_for_runs(
    site: Site,
    turn: Callable[[], object],
    run_ids: Callable[[], tuple[str, ...]],
    *,
    say: Callable[[str], None],
    timeout_s: float = 900.0,
) -> tuple[str, ...]:
    """Drive the site until every run is final; return the run ids.

    Raises
    ------
    SuiteError : nothing was final in time; the runs go on when the site is served.
    """
    ends = time.monotonic() + timeout_s
    shown = ""
    while time.monotonic() < ends:
        turn()
        ids = run_ids()
        with site.database.reading() as transaction:
            rows = [transaction.run(run_id) for run_id in ids]
        states = [row.status for row in rows if row is not None]
        words = ", ".join(
            f"{row.plugin} {row.plugin_version}: {row.status}" for row in rows if row is not None
        )
        if words and words != shown:
            say(words)
            shown = words
        if states and all(state in FINAL for state in states):
            return ids
        time.sleep(0.05)
    raise SuiteError(
        f"expected the runs to end within {timeout_s:.0f} s, found {shown or 'no run'}",
        advice="Look at them with `osteon runs list`; `osteon serve` goes on with them.",
    )
