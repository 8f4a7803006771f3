"""The home: the one folder in which a site keeps everything (SEAMS: Database, engine, home).

Read next: `compose.py`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

FOLDERS = (
    "keys", "log", "releases", "pacs", "staging", "outbox", "cohorts", "evidence", "exports",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Home:
    """Names the places inside a home folder."""

    root: Path

    def __getattr__(self, name: str) -> Path:
        if name in FOLDERS:
            return self.root / name
        raise AttributeError(name)

    @property
    def configuration(self) -> Path:
        """The configuration file of the home."""
        return self.root / "osteon.toml"

    def file(self, name: str) -> Path:
        """Return a file of the home, e.g. ``site.db``."""
        return self.root / name

    def create(self) -> Home:
        """Make the folders (mode 0700: patient data passes through) and return the home."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in FOLDERS:
            (self.root / name).mkdir(exist_ok=True, mode=0o700)
        return self


def locate_configuration(home: Home, option: Path | None) -> Path | None:
    """Return the configuration file: the option, else ``OSTEON_CONFIG``, else the home's own.

    None where the home has none; a file that was named is returned whether it is there or not.
    """
    if option is not None:
        return option.expanduser()
    if named := os.environ.get("OSTEON_CONFIG"):
        return Path(named).expanduser()
    return home.configuration if home.configuration.exists() else None


def locate(option: Path | None) -> Home:
    """Return the home: the option, else ``OSTEON_HOME``, else the XDG data folder."""
    if option is not None:
        return Home(option.expanduser().resolve())
    if named := os.environ.get("OSTEON_HOME"):
        return Home(Path(named).expanduser().resolve())
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Home(Path(data).expanduser().resolve() / "osteon")
