"""A site behind real HTTP with a finished run, reviews and readers, and a browser on it.

Read next: `incident_site.py`.
"""

from __future__ import annotations

import io
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
from pydicom.uid import generate_uid

from adapters.compose import Site
from adapters.oversight.acts import Decided, assess, note_view
from adapters.oversight.finding import find_reviews
from adapters.web.app import build_app
from tests.simulators.incident_site import PASSWORD, PEOPLE, finished_run, with_people

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-gpu",
)  # fmt: skip


@dataclass
class Workspace:
    """A served site with one run of one patient."""

    site: Site
    url: str
    run_id: str
    acts: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def patient(self) -> str:
        """Return the pseudonym of the patient of the run."""
        with self.site.database.reading() as transaction:
            return self.site.pseudonyms.subject(
                transaction.request_of(self.run_id).study_instance_uid
            )

    def client(self, role: str) -> httpx.Client:
        """Return a client that signed in by the form."""
        client = httpx.Client(base_url=self.url, follow_redirects=False, timeout=30)
        data = {"account_id": f"the-{role}", "password": PASSWORD, "csrf": csrf(client, "/sign-in")}
        assert client.post("/sign-in", data=data).status_code == 303
        return client


def csrf(client: httpx.Client, path: str) -> str:
    """Return the token of the first form of a page."""
    found = re.search(r'name="csrf" value="([^"]+)"', client.get(path).text)
    assert found is not None
    return found.group(1)


def settled(client: httpx.Client, path: str) -> httpx.Response:
    """Return a page as soon as it no longer comes back by itself (header ``Refresh``)."""
    ends = time.monotonic() + 120.0
    while "refresh" in (page := client.get(path, timeout=60)).headers:
        assert page.status_code == 200
        assert page.headers["refresh"].partition("url=")[2] == path
        assert time.monotonic() < ends, f"{path} does not settle"
    return page


@contextmanager
def workspace(root: Path, **changes: Any) -> Iterator[Workspace]:
    """Serve the pages of a site on the example plugin with one finished run."""
    home, run_id = finished_run(root)
    settings = {"oversight": {"quiet_time_s": 0.0}, **changes}
    with with_people(home, root, **settings) as site:
        with site.database.transaction() as transaction:
            for look in transaction.due_review_looks(site.now().replace(year=2100)):
                transaction.remove_review_look(look)
        acts: list[tuple[Any, ...]] = []
        with serving_pages(site, acts) as url:
            yield Workspace(site, url, run_id, acts)


@contextmanager
def serving_pages(site: Site, acts: list[tuple[Any, ...]]) -> Iterator[str]:
    """Serve the pages of a site at a free port; yield the address."""
    import uvicorn

    app = build_app(site, lambda *what: acts.append(what))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def reviewed(place: Workspace) -> None:
    """Let a clinician reject the result on the page, and an approved set come back."""
    site = place.site
    for number in range(4):
        note_view(site, PEOPLE["clinician"], place.run_id, ("slice", number), 18)
    assess(
        site,
        PEOPLE["clinician"],
        place.run_id,
        [Decided("Bone", "reject", "missing-extension", "major")],
    )
    with site.database.reading() as transaction:
        paths = [d.path for d in transaction.documents(place.run_id) if d.kind == "RTSTRUCT"]
    dataset = pydicom.dcmread(paths[0])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    dataset.ApprovalStatus = "APPROVED"
    for region in dataset.ROIContourSequence:
        for contour in region.ContourSequence:
            points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
            points[:, 0] += 7.0
            contour.ContourData = [f"{value:.3f}" for value in points.ravel()]
    sink = io.BytesIO()
    dataset.save_as(sink, enforce_file_format=True)
    site.archives["pacs"].store(str(dataset.StudyInstanceUID), [sink.getvalue()])
    site.feed.poll()
    assert find_reviews(site) == 1


def enter(page: Any, url: str, role: str) -> None:
    """Sign in by the form in a browser."""
    page.goto(url + "/sign-in")
    page.fill("#account_id", f"the-{role}")
    page.fill("#password", PASSWORD)
    with page.expect_navigation():
        page.click("form[action='/sign-in'] button")
