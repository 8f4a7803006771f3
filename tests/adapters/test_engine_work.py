"""The engine's own parts: notices, the table of periodic work, errors remembered as JSON."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from adapters.compose import open_site
from adapters.config_sections import NoticesSection
from adapters.engine.engine import error_of
from adapters.engine.notices import Notices
from adapters.engine.schedule import Periodic, Schedule
from adapters.home import Home
from audit import errors
from audit.errors import DiskFullError, SuiteError
from plugins.host.ports import RunRequest
from tests.simulators.example_site import configuration

REQUEST = RunRequest(
    run_id="a" * 32,
    study_instance_uid="1.2.826.0.1.3680043.2.1125.4711",
    plugin="example",
    plugin_version="1.0.0",
    release_digest="sha256:" + "b" * 64,
    mode="research",
    series={"ct": "1.2.826.0.1.3680043.2.1125.4712"},
    sop_instance_uids=("1.2.826.0.1.3680043.2.1125.4713",),
    opened_at=datetime(2026, 1, 15, 9, 30, tzinfo=UTC),
)


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook on loopback that keeps what it is told."""
    told: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", told
    server.shutdown()


def test_a_notice_names_run_and_code_and_no_study(hook: tuple[str, list[dict[str, Any]]]) -> None:
    """The webhook gets run, plugin, code and advice, and no UID of the study."""
    url, told = hook
    Notices(NoticesSection(webhook_url=url), "ward").failed(REQUEST, "PLUGIN_TIMEOUT", "look")
    (notice,) = told
    assert notice["run_id"] == REQUEST.run_id
    assert notice["code"] == "PLUGIN_TIMEOUT"
    assert "4711" not in json.dumps(notice)


def test_a_notice_that_cannot_be_sent_fails_nothing() -> None:
    """Nobody listens: the run is not touched by that."""
    settings = NoticesSection(
        webhook_url="http://127.0.0.1:9/", smtp_host="127.0.0.1", smtp_port=9,
        mail_from="a@example.org", mail_to=["b@example.org"],
    )  # fmt: skip
    Notices(settings, "ward").failed(REQUEST, "PLUGIN_TIMEOUT", "look")


def test_an_attempt_that_finds_no_room_waits_and_counts_nothing(tmp_path: Path) -> None:
    """Where the cap is reached a claimed attempt is put back; the pipeline is not entered."""
    engine = {"global_concurrency": 1, "concurrency": 4}
    chosen = configuration(tmp_path, engine=engine)
    with open_site(Home(tmp_path / "home").create(), configuration=chosen) as site:
        first, second = REQUEST, replace(REQUEST, run_id="b" * 32)
        with site.database.transaction() as transaction:
            transaction.add_run(first, "pacs", "running")
            transaction.add_run(second, "pacs")
        assert site.executor.process(second.run_id, 1, _NoSteps()) == {"status": "not-its-turn"}
        with site.database.transaction() as transaction:
            row = transaction.run(second.run_id)
            assert row is not None
            assert (row.status, row.reason, row.attempts) == ("waiting", "NO_ROOM", 2)
            assert transaction.due_runs(site.now() + timedelta(seconds=2)) == (row,)
            assert transaction.records_of(second.run_id) == ()
            transaction.set_run_status(first.run_id, "delivering")
            assert transaction.at_work(second.run_id) == 0


class _NoSteps:
    """Steps of a pipeline that must not be entered."""

    def step(self, name: str, function: object) -> Any:
        raise AssertionError(f"step {name} was taken")


def test_one_broken_line_does_not_stop_the_others() -> None:
    """A periodic function that raises is tried again at its turn; the others go on."""
    done: list[str] = []

    def broken() -> None:
        done.append("broken")
        raise DiskFullError("expected room, found none")

    def bug() -> None:
        done.append("bug")
        raise ZeroDivisionError

    schedule = Schedule(
        (
            Periodic("broken", 1.0, broken),
            Periodic("bug", 1.0, bug),
            Periodic("good", 2.0, lambda: done.append("good")),
        )
    )
    for now in (0.0, 0.5, 1.0, 2.0):
        schedule.turn(now)
    assert done.count("broken") == 3
    assert done.count("bug") == 3
    assert done.count("good") == 2


def _all_errors() -> list[type[SuiteError]]:
    found, waiting = [SuiteError], [SuiteError]
    while waiting:
        children = waiting.pop().__subclasses__()
        found += children
        waiting += children
    return [item for item in found if item.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", _all_errors(), ids=lambda kind: kind.code)
def test_an_error_survives_as_json(kind: type[SuiteError]) -> None:
    """What a step remembers comes back as the same class, message and advice."""
    error = error_of({"code": kind.code, "message": "expected a, found b", "advice": "do c"})
    assert type(error) is kind
    assert str(error) == "expected a, found b"
    assert error.advice == "do c"
    assert error.retryable == kind.retryable


def test_codes_are_unique_and_drawn_in_the_tree() -> None:
    """Every error has its own code, and the tree in the docstring names it."""
    codes = [kind.code for kind in _all_errors()]
    assert len(codes) == len(set(codes))
    for kind in _all_errors():
        assert kind.__name__ in (errors.__doc__ or "")
