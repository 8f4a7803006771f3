"""One worker machine of a site: serves until it is killed, and logs as JSON lines.

Run as a program: ``serving_machine.py ROOT NODE CHANGES_AS_JSON``.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from adapters.cli.terminal import set_up_logging
from adapters.home import Home
from tests.simulators.example_site import served


def main(root: Path, node: str, changes: dict) -> None:  # type: ignore[type-arg]
    """Serve for ever."""
    set_up_logging(verbose=True, json_lines=True)
    changes = {**changes, "site": {"name": "test-site", "node": node}}
    with served(Home(root / "home"), root, **changes) as (_, turn):
        while True:
            turn()
            time.sleep(0.05)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))
