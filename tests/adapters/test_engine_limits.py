"""Machines of one site share a queue: one with other limits does not start beside them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.compose import open_site, utc_now
from adapters.engine.serving import serving
from adapters.home import Home
from audit.errors import ConfigurationError
from tests.simulators.example_site import configuration


def start(root: Path, node: str, concurrency: int, *, later_s: float = 0.0) -> None:
    """Start a machine and stop it again."""
    changes: dict[str, Any] = {
        "site": {"name": "test-site", "node": node},
        "engine": {"polling_interval_s": 0.05, "concurrency": concurrency, "lease_s": 60.0},
    }
    with (
        open_site(
            Home(root / "home"),
            configuration=configuration(root, **changes),
            now=lambda: utc_now() + timedelta(seconds=later_s),
        ) as site,
        serving(site),
    ):
        pass


def test_limits_are_agreed_on(tmp_path: Path) -> None:
    """The same limits start; others only where no machine that has the old ones lives."""
    start(tmp_path, "node-a", 1)
    start(tmp_path, "node-b", 1)
    with pytest.raises(ConfigurationError, match=r"expected engine\.concurrency .* 1 and 0 as"):
        start(tmp_path, "node-c", 2)
    start(tmp_path, "node-c", 1)  # what was refused left nothing behind
    start(tmp_path, "node-c", 2, later_s=120.0)
    with pytest.raises(ConfigurationError, match="2 and 0"):
        start(tmp_path, "node-a", 1, later_s=121.0)
