"""Warm runs: who keeps a place, who is told a failure, and what is left when they are closed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters import warm_runs
from adapters.compose import Site
from adapters.what_if import WhatIfs
from audit.errors import PluginRaisedError, UnavailableError
from audit.record import decode
from tests.simulators.exploring_site import (
    RUNS,
    Exploration,
    comes,
    dose_site,
    exploration,
    threads_left,
)
from tests.simulators.incident_site import PEOPLE

RUN, OTHER, THIRD = RUNS
PHYSICIST = PEOPLE["physicist"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Open a site with three runs of a dose."""
    with dose_site(tmp_path_factory.mktemp("warm")) as found:
        yield found


@pytest.fixture
def held_back(site: Site) -> Exploration:
    """Return the site with cases and workers that answer when the gate opens."""
    return exploration(site)


def test_a_fault_of_our_own_ends_the_wait_too(held_back: Exploration) -> None:
    """What is no error of the suite reaches who waits as it is; the next opening tries again."""
    asked, workers = WhatIfs(held_back.site), held_back.workers
    workers.fault = ZeroDivisionError()
    assert asked.opened(PHYSICIST, RUN, 0.0) is None
    workers.gate.set()
    with pytest.raises(ZeroDivisionError):
        asked.ask(PHYSICIST, RUN, {})
    workers.fault = None
    assert asked.ask(PHYSICIST, RUN, {})[0].row.run_id == RUN
    asked.close()


def test_a_run_that_nobody_has_seen_yet_keeps_its_place(held_back: Exploration) -> None:
    """What was prepared is not thrown away for another run before who waited for it came back."""
    asked = WhatIfs(held_back.site)
    assert asked.opened(PHYSICIST, RUN, 0.0) is None
    assert asked.opened(PHYSICIST, OTHER, 0.0) is None
    held_back.workers.gate.set()
    for _ in comes():
        if all(asked.answered(run_id, lambda _: True) for run_id in (RUN, OTHER)):
            break
    assert asked.opened(PHYSICIST, THIRD, 0.1) is None
    assert len(held_back.workers.started) == 2
    for run_id in (RUN, OTHER, THIRD):
        assert asked.ask(PHYSICIST, run_id, {})[0].row.run_id == run_id
    assert len(held_back.workers.started) == 3
    asked.close()


def test_closing_ends_what_is_prepared_and_who_waits_is_told(held_back: Exploration) -> None:
    """No process and no thread is left, and nothing begins afterwards."""
    asked = WhatIfs(held_back.site)
    assert asked.opened(PHYSICIST, OTHER, 0.0) is None
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(asked.ask, PHYSICIST, RUN, {"priority:Parotid_L": 2.0})
        for _ in comes():
            if held_back.workers.alive() == 2:
                break
        asked.close()
        with pytest.raises(UnavailableError):
            answer.result()
    assert held_back.workers.alive() == 0
    assert threads_left() == []
    with pytest.raises(UnavailableError):
        asked.opened(PHYSICIST, RUN, 0.0)
    assert len(held_back.workers.started) == 2


def test_what_nobody_comes_back_for_is_let_go(
    held_back: Exploration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was prepared for a reader who left ends like one that nobody asks."""
    monkeypatch.setattr(warm_runs, "IDLE_S", 0.0)
    asked = WhatIfs(held_back.site)
    assert asked.opened(PHYSICIST, RUN, 0.0) is None
    held_back.workers.gate.set()
    for _ in comes():
        if held_back.workers.started and not held_back.workers.alive():
            break
    assert asked.answered(RUN, lambda _: True) is None
    asked.close()


def test_an_old_failure_is_not_told_to_who_opens_the_page_later(
    held_back: Exploration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who left before it failed gets the answer of a new try."""
    monkeypatch.setattr(warm_runs, "UNSEEN_S", -1.0)
    asked, workers = WhatIfs(held_back.site), held_back.workers
    workers.fault = PluginRaisedError("ValueError during predict")
    assert asked.opened(PHYSICIST, RUN, 0.0) is None
    workers.gate.set()
    for _ in comes():
        if any(isinstance(one, threading.Timer) for one in threads_left()):  # it failed
            break
    workers.fault = None
    assert asked.ask(PHYSICIST, RUN, {})[0].worker.alive()
    asked.close()


def test_a_process_that_died_is_replaced(held_back: Exploration) -> None:
    """A question to a warm run whose process is gone prepares it again, and is on record once."""
    asked, site = WhatIfs(held_back.site), held_back.site
    held_back.workers.gate.set()
    warm, _ = asked.ask(PHYSICIST, THIRD, {})
    warm.worker.kill()
    again, tried = asked.ask(PHYSICIST, THIRD, {"priority:Parotid_L": 4.0})
    assert again is not warm
    with site.database.reading() as transaction:
        leaves = [leaf for leaf in transaction.records_of(THIRD) if leaf.kind == "what_if"]
    assert [decode(leaf.leaf).body["edits"] for leaf in leaves] == [dict(tried.edits)]
    asked.close()
