"""Shared servers and settings of all tests."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

# No test is timed: on a loaded machine a deadline would fail by chance.
hypothesis.settings.register_profile("osteon", deadline=None)
hypothesis.settings.load_profile("osteon")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

pytest_plugins = [
    "tests.simulators.delivery_site",
    "tests.simulators.dimse_peer",
    "tests.simulators.faulty_pacs",
    "tests.simulators.fhir_run",
    "tests.simulators.fhir_server",
    "tests.simulators.orthanc",
    "tests.simulators.postgresql",
    "tests.simulators.site_database",
    "tests.simulators.tiny_pacs",
]


@pytest.fixture(autouse=True)
def _log_as_found() -> Iterator[None]:
    """Leave the program log as it was: its stream may belong to one test only."""
    yield
    structlog.reset_defaults()
