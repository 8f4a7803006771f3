"""The two replays that change control asks for, made from what this site has done.

Golden replay: the inputs of recorded runs, read again from their archive, given to both releases
in their own workers; the answers compared by digest, and by the largest difference where they
differ. Routing replay: the rules of both releases on the studies of the last days.

What is written is evidence once a person signs it (`osteon change sign FILE`). Nothing of either
replay leaves the house; no result of it is kept.

Read next: `evidence.py` (reads both), `governance/change/proofs.py` (what they show).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.database.runs import FOLDER, RunRow
from adapters.study_facts import study_facts
from adapters.writing import write_whole
from audit.errors import NotFoundError, SuiteError
from governance.change.proofs import ROUTING_DAYS, SMALLEST_REPLAY
from plugins.host.findings import Segmentation
from plugins.host.routing import decide
from plugins.host.staging import answer_digest
from plugins.host.steps import withheld

if TYPE_CHECKING:
    from adapters.compose import Site
    from plugins.host.manifest import Manifest
    from plugins.host.ports import Answer

GOLDEN, ROUTING = "osteon.golden-replay/1", "osteon.routing-replay/1"
ANSWERED = ("done", "abstained")
PAGE = 200


def golden_replay(
    site: Site, old: str, new: str, *, cases: int = SMALLEST_REPLAY
) -> dict[str, Any]:
    """Return the outputs of two releases on the newest inputs of their plugin at this site.

    Parameters
    ----------
    old, new : digests of releases that lie here.
    cases : how many inputs, each of another input digest.

    Returns
    -------
    What `evidence.read_context` takes as ``golden_replay``. An answer that fails stands as its
    error code, which equals no digest of the other release's answer.

    Raises
    ------
    NotFoundError : no run of the plugin can be read again.
    """
    manifests = {digest: site.registry.manifest(digest) for digest in (old, new)}
    rows: list[dict[str, str]] = []
    largest: dict[str, float] = {}
    for row in _answered(site, manifests[old].plugin, cases):
        outputs, answers = [], []
        for digest in (old, new):
            answer, output = _answer(site, row, digest)
            answers.append(answer)
            outputs.append(output)
        rows.append({"case": str(row.input_digest), "old": outputs[0], "new": outputs[1]})
        if answers[0] is not None and answers[1] is not None:
            for name, value in _differences(answers[0], answers[1]).items():
                largest[name] = max(largest.get(name, 0.0), value)
    if not rows:
        raise NotFoundError("expected a recorded run of this plugin whose input is at hand")
    return {
        "schema": GOLDEN,
        "old_digest": old,
        "new_digest": new,
        "cases": rows,
        "largest_differences": largest,
    }


def routing_replay(site: Site, old: str, new: str, *, days: int = ROUTING_DAYS) -> dict[str, Any]:
    """Return how the rules of two releases decide on the studies of the last days.

    Every study that only the new rules admit counts as not validated: which stratum it would
    fall in is known only after it has been read, and by a person.

    Returns
    -------
    What `evidence.read_context` takes as ``routing_replay``, with the counts of each side and
    of studies whose archive no longer has them.
    """
    manifests = [(digest, site.registry.manifest(digest)) for digest in (old, new)]
    since = site.now() - timedelta(days=days)
    counts = {"study_count": 0, "admitted_old": 0, "admitted_new": 0, "gone": 0}
    admitted = 0
    for pacs, uid in _studies(site, since):
        archive = site.archives.get(pacs)
        if archive is None or not archive.search_series(uid):
            counts["gone"] += 1
            continue
        with site.database.reading() as transaction:
            own = transaction.own_series_uids(uid)
        facts = study_facts(archive, uid, set(own))
        before, after = (decide(facts, digest, m, own).applies for digest, m in manifests)
        counts["study_count"] += 1
        counts["admitted_old"] += before
        counts["admitted_new"] += after
        admitted += after and not before
    return {
        "schema": ROUTING,
        "old_digest": old,
        "new_digest": new,
        "days": days,
        "admitted_unvalidated": admitted,
        **counts,
    }


def write_replay(content: Mapping[str, Any], out: Path) -> Path:
    """Write a replay as JSON and return its path."""
    write_whole(out, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
    return out


def _answered(site: Site, plugin: str, count: int) -> Iterator[RunRow]:
    """Yield the newest answered runs of distinct inputs that an archive can give again."""
    seen: set[str] = set()
    before = None
    while len(seen) < count:
        with site.database.reading() as transaction:
            page = transaction.runs_before(before, plugin=plugin, limit=PAGE)
        for row in page:
            before = (row.opened_at, row.run_id)
            held = row.pacs != FOLDER and row.pacs in site.archives
            if row.status not in ANSWERED or not held or row.input_digest in (None, *seen):
                continue
            seen.add(str(row.input_digest))
            yield row
            if len(seen) == count:
                return
        if len(page) < PAGE:
            return


def _answer(site: Site, row: RunRow, digest: str) -> tuple[Answer | None, str]:
    """Return what a release answers to the input of a run, and the answer's digest or code."""
    manifest = site.registry.manifest(digest)
    request = replace(
        row.request,
        release_digest=digest,
        mode="replay",
        trigger="replay",
        parameters=_parameters(row, site.registry.manifest(row.release_digest), manifest),
    )
    try:
        site.house.cases.forget(row.run_id)
        case = site.house.cases.fetch(request, manifest)
        answer = withheld(site.house.workers.run(request, case, explain=False))
    except SuiteError as error:
        return None, f"{digest[:19]}:{error.code}"
    return answer, answer_digest(answer)


def _parameters(row: RunRow, recorded: Manifest, manifest: Manifest) -> dict[str, Any]:
    """Return the release's own defaults, and over them what a person gave for the run."""
    given = {k: v for k, v in row.parameters.items() if recorded.parameters.get(k) != v}
    return {**manifest.parameters, **given}


def _differences(old: Answer, new: Answer) -> dict[str, float]:
    """Return by how much two answers differ; a region that only one has differs in all voxels."""
    sides = [
        {f.name: f for f in answer.prediction.findings if isinstance(f, Segmentation)}
        for answer in (old, new)
    ]
    found = {"voxels": 0.0, "volume_ml": 0.0}
    for name in {*sides[0], *sides[1]}:
        masks = [side[name].mask for side in sides if name in side]
        voxel_ml = next(s[name] for s in sides if name in s).geometry.voxel_volume_ml()
        alike = len(masks) == 2 and masks[0].shape == masks[1].shape
        counts = [float(np.count_nonzero(mask)) for mask in masks]
        voxels = float(np.count_nonzero(masks[0] != masks[1])) if alike else sum(counts)
        volume = abs(counts[0] - counts[-1]) if len(masks) == 2 else counts[0]
        found["voxels"] = max(found["voxels"], voxels)
        found["volume_ml"] = max(found["volume_ml"], volume * voxel_ml)
    return found


def _studies(site: Site, since: datetime) -> list[tuple[str, str]]:
    """Return archive and UID of every study that changed since a moment."""
    with site.database.reading() as transaction:
        return [(row.pacs, row.study_instance_uid) for row in transaction.studies_since(since)]
