"""`osteon serve` as a real process: a study arrives, results come back, somebody is told."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.folder.pacs import FolderPacs
from tests.simulators.example_site import prepare, small_phantom

pytestmark = pytest.mark.slow
OSTEON = Path(sys.executable).with_name("osteon")
TIMEOUT_S = 120.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def notices() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook that keeps what it is told."""
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


def _wait(condition: Any) -> None:
    ends = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < ends, "nothing happened in time"
        time.sleep(0.1)


def test_serve_runs_and_tells_of_failures(
    tmp_path: Path, notices: tuple[str, list[dict[str, Any]]]
) -> None:
    """A good study gets its results; a broken one fails, and the webhook is told, nameless."""
    prepare(tmp_path)
    hook, told = notices
    port = _free_port()
    config = tmp_path / "osteon.toml"
    config.write_text(
        f"""
[site]
name = "test-site"
node = "node-a"
[trigger]
quiet_time_s = 0.2
poll_interval_s = 0.1
[limits]
free_space_mb = 16
[web]
port = {port}
metrics_token = "scrape"
[notices]
webhook_url = "{hook}"
[[pacs]]
name = "pacs"
kind = "folder"
path = "{tmp_path / "pacs"}"
[[targets]]
name = "pacs"
kind = "pacs"
pacs = "pacs"
"""
    )
    process = subprocess.Popen(
        [OSTEON, "serve", "--config", config, "--home", tmp_path / "home", "--json-log"],
        stderr=(tmp_path / "log").open("w"),
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(lambda: _healthy(url))
        archive = FolderPacs("pacs", tmp_path / "pacs")
        study, files = small_phantom()
        archive.store(study, files)
        _wait(lambda: sum(s.instance_count for s in archive.search_series(study)) == len(files) + 4)
        gap, broken = small_phantom(seed=5)
        archive.store(gap, broken[:5] + broken[7:])
        _wait(lambda: 'status="refused"' in _metrics(url) or told)
        assert 'osteon_runs{plugin="example",status="done"' in _metrics(url)
        browser = {"accept": "text/html"}
        assert httpx.get(url + "/", headers=browser, follow_redirects=False).status_code == 303
        log = (tmp_path / "log").read_text()
        assert "SYNTHETIC" not in log
        assert study not in log
        assert "SYNTHETIC" not in json.dumps(told)
    finally:
        process.terminate()
        assert process.wait(timeout=60) in (0, -15)


def _healthy(url: str) -> bool:
    try:
        return httpx.get(url + "/health").status_code == 200
    except httpx.HTTPError:
        return False


def _metrics(url: str) -> str:
    return httpx.get(url + "/metrics", headers={"Authorization": "Bearer scrape"}).text
