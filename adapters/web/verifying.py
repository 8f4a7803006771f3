"""The *verify* button: the whole log is checked again, and the page shows what was checked.

The check takes its time (some seconds for every hundred thousand records), so it runs beside
the pages, one at a time; the page reloads itself while it runs.

Read next: `audit/verify.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from adapters.log_key import log_keys
from adapters.web.formats import moment
from adapters.web.shell import Pages
from adapters.web.visit import note_access
from audit.errors import LogTamperedError, SuiteError
from audit.ports import StoredLeaf
from audit.verify import verify_store

if TYPE_CHECKING:
    from adapters.compose import Site

RELOAD_S = 2


@dataclass(frozen=True, slots=True)
class Verification:
    """How far the check is, or what it found.

    Parameters
    ----------
    state : idle, running, good, bad (the log was changed) or broken (it could not be read).
    """

    state: str = "idle"
    checked: int = 0
    total: int = 0
    root_hash: str = ""
    checkpoint_count: int = 0
    signed_size: int = 0
    fault: str = ""
    started_at: str = ""
    seconds: float = 0.0
    key: str = ""


class Verifier:
    """Checks the log of a site, one check at a time; safe among threads."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._found = Verification()

    @property
    def found(self) -> Verification:
        """Return how the last check stands."""
        return self._found

    def start(self) -> None:
        """Begin a check, unless one runs."""
        with self._lock:
            if self._found.state == "running":
                return
            zone = self._site.configuration.site.time_zone
            at = moment(self._site.now(), zone)
            self._found = Verification("running", started_at=at)
        threading.Thread(target=self._check, name="osteon-verify", daemon=True).start()

    def _check(self) -> None:
        began, site = time.monotonic(), self._site
        try:
            site.seal(force=True)
            with site.database.reading() as transaction:
                store = _Counting(transaction, self._step)
                self._found = replace(self._found, total=transaction.tree_size())
                summary = verify_store(store, log_keys(site.keys, transaction))
            self._found = replace(
                self._found,
                state="good",
                checked=summary.tree_size,
                root_hash=summary.root_hash,
                checkpoint_count=summary.checkpoint_count,
                signed_size=summary.signed_size,
                key=site.keys.log.verifier.text(),
                seconds=time.monotonic() - began,
            )
        except LogTamperedError as error:
            taken = time.monotonic() - began
            self._found = replace(self._found, state="bad", fault=str(error), seconds=taken)
        except SuiteError as error:
            self._found = replace(self._found, state="broken", fault=error.code)

    def _step(self, checked: int) -> None:
        self._found = replace(self._found, checked=checked)


class _Counting:
    """A store that says how many records were read."""

    def __init__(self, store: Any, step: Any) -> None:
        self._store, self._step = store, step

    def leaves(self, start: int, stop: int) -> Iterator[StoredLeaf]:
        for number, leaf in enumerate(self._store.leaves(start, stop)):
            if number % 1000 == 0:
                self._step(number)
            yield leaf

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def verify_routes(app: FastAPI, view: Pages) -> None:
    """Add the page of the check."""
    verifier = Verifier(view.site)

    @app.get("/audit/verify")
    def verification(request: Request, start: int = 0) -> Response:
        if start:
            note_access(view.site, request, "audit-log", "verify")
            verifier.start()
        found = verifier.found
        response = view.render(request, "verify.html", page=found)
        if found.state == "running":
            response.headers["Refresh"] = f"{RELOAD_S}; url=/audit/verify"
        return response
