"""The real data that only tests and training read: found by name, or skipped by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("OSTEON_TEST_DATA", Path(__file__).parents[2] / "../shared/data"))


def folder_of(name: str) -> Path:
    """Return one set's folder; the test is skipped where it is absent."""
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"test data {name} are not here (OSTEON_TEST_DATA)")
    return folder
