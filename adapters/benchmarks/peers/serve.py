"""What every peer's script does around its own work; it needs the standard library only."""

import sys
import time
from collections.abc import Callable


def serve(work: Callable[[], object], keep: Callable[[object], None]) -> None:
    """Answer each line with the seconds of one run (clock, processor), keep what it found."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # what a library prints must not be taken for an answer
    print("ready", file=answers, flush=True)
    kept = False
    for _ in sys.stdin:
        clock, processor = time.perf_counter(), time.process_time()
        found = work()
        seconds = time.perf_counter() - clock, time.process_time() - processor
        if not kept:
            keep(found)
            kept = True
        print(*seconds, file=answers, flush=True)
