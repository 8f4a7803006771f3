"""What every peer's script does around its own work; it needs the standard library only."""

import sys
import time
from collections.abc import Callable


def serve(work: Callable[[], object], keep: Callable[[object], None]) -> None:
    """Answer each line with the seconds of one run, and keep what the first found."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # what a library prints must not be taken for an answer
    print("ready", file=answers, flush=True)
    kept = False
    for _ in sys.stdin:
        started = time.perf_counter()
        found = work()
        seconds = time.perf_counter() - started
        if not kept:
            keep(found)
            kept = True
        print(seconds, file=answers, flush=True)
