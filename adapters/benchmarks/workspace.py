"""The pages on a log of a million records: python -m adapters.benchmarks.workspace --records N.

The records have the shape of a site's: runs of patients, each with its eight records, reviews,
and reading in between.  They go through the log itself (append, tree, checkpoints, search lines);
only their bytes are filled into templates, since making a record takes longer than keeping it.

Read next: `validation/benchmarks/pages.py`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from adapters.compose import Site, open_site
from adapters.config import Configuration
from adapters.database.oversight import About
from adapters.database.search import bring_up
from adapters.home import Home
from adapters.web import access
from adapters.web.access import COOKIE
from audit import canonical
from audit.kinds import KINDS as KIND_TABLE
from audit.kinds import NOT_EVALUATED
from audit.record import new_event_id
from governance.accounts import Account
from governance.oversight.assessment import Assessment, Viewing
from plugins.host.ports import RunRequest
from validation.benchmarks.pages import PageTime, as_markdown, measure_pages

KINDS = (
    "run_opened", "input_read", "inference", "explanation", "delivery", "run_closed",
    "assessment", "access",
)  # fmt: skip
START = datetime(2025, 1, 1, tzinfo=UTC)
RUNS_A_PATIENT = 4
ASSESSED = 4
"""Every so many runs are kept as rows and assessed; the log holds the records of all."""
_GROUP = 20_000
_DIGESTS = tuple(f"sha256:{n:064x}" for n in range(1, 6))


@dataclass(frozen=True, slots=True)
class Seeded:
    """What a page is asked about."""

    run_id: str
    patient: str
    release: str
    records: int


def seed(site: Site, count: int) -> Seeded:
    """Fill the log of a site with ``count`` records, and what the pages read beside it."""
    runs = max(1, count // len(KINDS))
    step = timedelta(days=365) / runs
    with site.database.transaction() as transaction:
        for role in access.EVERYBODY:
            transaction.put_account(Account(role, role, "no password", False, START))
    waiting = _records(runs, step)
    done = 0
    while done < runs * len(KINDS):
        with site.database.transaction() as transaction:
            for _ in range(min(_GROUP, runs * len(KINDS) - done)):
                transaction.append_leaf(*next(waiting))
        done = min(done + _GROUP, runs * len(KINDS))
        site.log.seal(site.database)
    _rows(site, runs, step)
    while bring_up(site.database):
        pass
    site.seal(force=True)
    last = runs - runs % ASSESSED - ASSESSED if runs > ASSESSED else 0
    return Seeded(_run_id(last), _patient(last), _DIGESTS[0], runs * len(KINDS))


def pages_of(seeded: Seeded) -> dict[str, str]:
    """Return the pages that are measured, those that are hard on an index among them."""
    half = (START + timedelta(days=180)).strftime("%Y-%m-%dT%H:%M")
    deep = seeded.records // 2
    return {
        "overview": "/",
        "runs": "/runs",
        "runs, failed": "/runs?status=failed",
        "one run": f"/runs/{seeded.run_id}",
        "patients": "/patients",
        "one patient": f"/patients/{quote(seeded.patient)}",
        "audit": "/audit",
        "audit, in the middle": f"/audit?before={deep}",
        "audit, kind": "/audit?kind=inference",
        "audit, patient": f"/audit?patient={quote(seeded.patient)}",
        "audit, person and kind": "/audit?person=account:anna&kind=access",
        "audit, release and time": f"/audit?release={seeded.release}&until={half}",
        "audit, kind that no plugin has": "/audit?kind=access&plugin=contouring",
        "audit, only failed": "/audit?failed=1",
        "one record": f"/audit/records/{deep}",
        "verify": "/audit/verify",
        "oversight": "/oversight?window=all",
        "evidence": "/evidence",
        "incidents": "/incidents",
    }


def measure(site: Site, seeded: Seeded, repeats: int = 7) -> tuple[PageTime, ...]:
    """Return how long each page takes for a compliance officer."""
    from fastapi.testclient import TestClient

    from adapters.web.app import build_app

    with site.database.reading() as transaction:
        account = transaction.account("compliance")
    if account is None:
        raise ValueError("expected a seeded site")
    session = access.open_session(account, site.now())
    client = TestClient(build_app(site, lambda *_: None), follow_redirects=False)
    client.cookies.set(COOKIE, access.encode(session, site.keys.session))
    return measure_pages(pages_of(seeded), lambda path: client.get(path).status_code, repeats)


def _records(runs: int, step: timedelta) -> Iterator[tuple[str, str, str | None, datetime, bytes]]:
    """Yield (event id, kind, run id, time, bytes) of records, in the order of time."""
    chance = random.Random(7)
    for number in range(runs):
        at = START + number * step
        for place, kind in enumerate(KINDS):
            moment = at + timedelta(seconds=place)
            event_id = new_event_id(moment, chance.randbytes(10))
            run_id = None if kind == "access" else _run_id(number)
            yield event_id, kind, run_id, moment, _leaf(event_id, kind, number, moment)


def _leaf(event_id: str, kind: str, number: int, at: datetime) -> bytes:
    """Return a record as canonical JSON; its words are those that the pages search."""
    person = ("anna", "ben", "clara")[number % 3] if kind == "access" else ""
    actor = f"account:{person}" if person else "service:osteon"
    body = _body(kind, ("contouring", "dose")[number % 2])
    failed = kind == "run_closed" and number % 50 == 0
    record = {
        "schema": f"osteon.audit.{kind}/1",
        "event_id": event_id,
        "kind": kind,
        "mode": "research",
        "recorded_at": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "clock": {"source": "system", "offset_ms": "not-evaluated", "stratum": "not-evaluated"},
        "actor": {"id": actor, "role": "compliance" if person else "service"},
        "site": "bench",
        "node": "node-a",
        "outcome": {"code": 8 if failed else 0, "reason": "FAILED" if failed else ""},
        "art12": ["12.2.c"],
        "body": body,
    }
    if kind != "access":
        record |= {
            "run_id": _run_id(number),
            "release_digest": _DIGESTS[number % len(_DIGESTS)],
            "subject": {
                "pseudonym": _patient(number),
                "age_band": ("10-17", "18-39", "40-64")[number % 3],
                "sex": "FM"[number % 2],
                "site_code": "FEMUR",
            },
        }
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()


@cache
def _body(kind: str, plugin: str) -> dict[str, Any]:
    """Return a body with every key that a record of the kind must have."""
    body: dict[str, Any] = dict.fromkeys(KIND_TABLE[kind].required, NOT_EVALUATED)
    for group, keys in KIND_TABLE[kind].groups.items():
        body[group] = dict.fromkeys(keys, NOT_EVALUATED)
    if kind == "inference":
        body["output"] |= {"rois": [{"name": "GTVp", "volume_ml": 80.5}], "documents": []}
        body["uncertainty"] = {"measure": "dsc", "score": 0.9, "interval": [0.8, 0.95]}
        body["acquisition"] = {}
    if kind == "explanation":
        body |= {"contributions": [["CT", 0.7], ["PET", 0.3]], "faithfulness": {"deletion": 0.6}}
    if kind == "access":
        return {"what": "audit-log", "purpose": "search"}
    return {**body, "plugin": {**_group(body), "id": plugin, "version": "1.0.0"}}


def _group(body: dict[str, Any]) -> dict[str, Any]:
    stated = body.get("plugin")
    return dict(stated) if isinstance(stated, dict) else {}


def _rows(site: Site, runs: int, step: timedelta) -> None:
    """Keep every fourth run as a row, with an assessment."""
    numbers = range(0, runs, ASSESSED)
    for start in range(0, len(numbers), 2000):
        with site.database.transaction() as transaction:
            for number in numbers[start : start + 2000]:
                at = START + number * step
                request = _request(number, at)
                transaction.add_run(request, "pacs")
                status = "failed" if number % 400 == 0 else "done"
                transaction.set_run_status(request.run_id, status, "", at + timedelta(minutes=1))
                about = About(request.plugin, request.release_digest, "bench", "40-64", 0.5)
                transaction.put_assessment(_assessment(number, request.run_id, at), about)


def _request(number: int, at: datetime) -> RunRequest:
    return RunRequest(
        run_id=_run_id(number),
        study_instance_uid=f"2.25.{number + 1}",
        plugin=("contouring", "dose")[number % 2],
        plugin_version="1.0.0",
        release_digest=_DIGESTS[number % len(_DIGESTS)],
        mode="research",
        series={},
        sop_instance_uids=(f"2.25.9{number}",),
        opened_at=at,
    )


def _assessment(number: int, run_id: str, at: datetime) -> Assessment:
    kept = number % 12 != 0
    return Assessment(
        assessment_id=new_event_id(at, number.to_bytes(10, "big")),
        run_id=run_id,
        structure=("GTVp", "Femur_L", "Femur_R")[number % 3],
        action="accept" if kept else "edit",
        reason="none" if kept else "over-extension",
        severity="none" if kept else "minor",
        source="page",
        reviewer=f"reviewer:{number % 9:024x}",
        reviewer_role="clinician",
        decided_at=at + timedelta(hours=1),
        fraction=number % 5,
        viewing=Viewing(True, 60.0 + number % 100, 18, 20),
    )


def _run_id(number: int) -> str:
    return f"{number:032x}"


def _patient(number: int) -> str:
    return f"hmac:v1:{number // RUNS_A_PATIENT:032x}"


def main() -> None:
    """Seed a site, measure its pages and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the site lies; a temporary folder else")
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = given.folder or Path(scratch)
        settings = Configuration.model_validate({"site": {"name": "bench", "node": "node-a"}})
        with open_site(Home(root).create(), configuration=settings) as site:
            began = time.monotonic()
            seeded = seed(site, given.records)
            taken = time.monotonic() - began
            sys.stdout.write(f"{seeded.records} records seeded in {taken:.0f} s\n")
            times = measure(site, seeded, given.repeats)
    load = max(item.load for item in times)
    sys.stdout.write(f"{as_markdown(times)}\n\nload {load:.1f}\n")


if __name__ == "__main__":
    canonical.encode({})  # what the log will need is loaded before anything is measured
    main()
