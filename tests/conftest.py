"""Shared servers and settings of all tests."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins: list[str] = []
