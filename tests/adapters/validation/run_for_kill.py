"""Run the harness in a process that a test kills; note every judgement in a file."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.validation import judging
from adapters.validation.running import Place, run_harness

sys.path.insert(0, str(Path(__file__).parent))


def main(folder: Path, sweeps: str) -> None:
    """Ask the question of the test, noting each judgement before it is remembered."""
    from test_running import question

    judge = judging.CohortJudge.judge

    def noting(self: Any, case_id: str, condition: Any) -> Any:
        found = judge(self, case_id, condition)
        with (folder / "judged.log").open("a") as file:
            file.write(json.dumps([case_id, condition.name, os.getpid()]) + "\n")
        return found

    judging.CohortJudge.judge = noting  # type: ignore[method-assign]
    run_harness(
        question(folder, sweeps=sweeps),
        Place(folder / "runs"),
        now=lambda: datetime(2026, 2, 1, tzinfo=UTC),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
