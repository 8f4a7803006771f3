"""The two sides of the overhead benchmark: the whole path, and a bare script.

The bare script reads the same files with pydicom, gives the same volumes to the same
released code in the same process class, predicts and explains, and writes an RTSTRUCT.
The path does that and everything else: trigger, route, envelope, record, SEG, SR, maps,
overview, FHIR, storing, reading back; times and intervals are those of the defaults.

Read next: `validation/benchmarks/overhead.py`.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adapters.database.runs import CLOSED_STATUSES
from audit.errors import SuiteError
from validation.benchmarks.overhead import Timed, timed
from validation.benchmarks.overhead import measure as measure_overhead

if TYPE_CHECKING:
    from adapters.compose import Site
    from plugins.host.ports import RunRequest

TIMEOUT_S = 300.0


def measure(home: Path | None, repeats: int, plugin: str = "contouring") -> dict[str, Any]:
    """Return the overhead table of one run of the benchmark."""
    from adapters.compose import open_site
    from adapters.config import Configuration
    from adapters.engine.serving import serving_in_background
    from adapters.home import Home
    from adapters.published import activate_newest

    with tempfile.TemporaryDirectory() as folder:
        root = Path(home or folder)
        configuration = Configuration.model_validate(
            {
                "site": {"name": "bench"},
                "pacs": [{"name": "pacs", "kind": "folder", "path": str(root / "pacs")}],
                "targets": [
                    {"name": "pacs", "kind": "pacs", "pacs": "pacs"},
                    {"name": "fhir", "kind": "fhir-folder", "path": str(root / "fhir")},
                ],
            }
        )
        with open_site(Home(root), configuration=configuration) as site:
            digest = activate_newest(site, plugin, reason="benchmark").release_digest
            with serving_in_background(site):
                _path(site, -1)  # warm: worker, libraries, weights
                result = measure_overhead(
                    lambda number: _path(site, number),
                    lambda number: _bare(site, digest, number, root),
                    repeats,
                )
    return asdict(result)


def _phantom(number: int) -> tuple[str, tuple[bytes, ...]]:
    from adapters.rt.write_phantom import PhantomStudy, encode_limb
    from validation.phantoms.limb import limb

    phantom, study = limb(), PhantomStudy(name=f"bench-{number}")
    return study.uid(phantom, "study"), tuple(encode_limb(phantom, study).values())


def _path(site: Site, number: int) -> Timed:
    study, files = _phantom(number)
    site.archives["pacs"].store(study, files)
    started = time.monotonic()
    began_s, total_s = _watched(site.home.file("site.db"), study, started)
    with site.database.reading() as transaction:
        row = transaction.runs(study=study)[0]
    if row.status != "done":
        raise SuiteError(f"expected the run to be done, found {row.status}")
    return Timed(total_s, began_s, row.seconds or 0.0, _written_mask(site, row.run_id))


def _watched(database: Path, study: str, started: float) -> tuple[float, float]:
    """Return after how many seconds the run of a study began, and after how many it ended.

    It looks through a connection of its own, each time for some 50 microseconds: looking
    through the site's would take a fifth of a core from the run that is timed.
    """
    began_s = 0.0
    with closing(sqlite3.connect(database, isolation_level=None, timeout=30.0)) as connection:
        while (now_s := time.monotonic() - started) < TIMEOUT_S:
            query = "SELECT status FROM run WHERE study_instance_uid = ?"
            status = next((row[0] for row in connection.execute(query, (study,))), "queued")
            if status != "queued":
                began_s = began_s or now_s
            if status in CLOSED_STATUSES:
                return began_s, now_s
            time.sleep(0.005)
    raise SuiteError(f"expected the run to end within {TIMEOUT_S:.0f} s")


def _written_mask(site: Site, run_id: str) -> NDArray[np.bool_]:
    from adapters.rt.raster import mask_from_contours
    from adapters.rt.read_structures import read_structures

    with site.database.reading() as transaction:
        row = transaction.run(run_id)
        documents = transaction.documents(run_id)
    assert row is not None
    path = next(item.path for item in documents if item.kind == "RTSTRUCT")
    structures, _ = read_structures(path)
    case = site.house.cases.fetch(row.request, site.registry.manifest(row.release_digest))
    return mask_from_contours(structures.rois[0].contours, case.images["ct"].geometry)


def _bare(site: Site, digest: str, number: int, root: Path) -> Timed:
    """Load, predict and explain with the same warm worker, write one RTSTRUCT."""
    study, files = _phantom(number)
    folder = root / "bare" / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    for index, data in enumerate(files):
        (folder / f"{index:04d}.dcm").write_bytes(data)
    request = _request(site, study)
    return timed(_script(site, digest, folder, request))


def _request(site: Site, study: str) -> RunRequest:
    with site.database.reading() as transaction:
        return transaction.runs(study=study)[0].request


def _script(
    site: Site, digest: str, folder: Path, request: RunRequest
) -> Callable[[], tuple[float, NDArray[np.bool_]]]:
    from adapters.case_source import FolderCaseSource
    from adapters.rt.equipment import WritingContext, encode
    from adapters.rt.identity import inherit
    from adapters.rt.read_folder import scan_folder
    from adapters.rt.write_structure_set import write_structure_set
    from plugins.host.findings import Segmentation

    manifest = site.registry.manifest(digest)

    def script() -> tuple[float, NDArray[np.bool_]]:
        source = FolderCaseSource(scan_folder(folder))
        case = source.fetch(request, manifest)
        answer = site.house.workers.run(replace(request, mode="replay"), case)
        found = [f for f in answer.prediction.findings if isinstance(f, Segmentation)]
        series = source.sources(request)["ct"]
        context = WritingContext(request, manifest, inherit(series.first), "bench")
        (folder / "RTSTRUCT.dcm").write_bytes(encode(write_structure_set(context, series, found)))
        return answer.seconds, found[0].mask

    return script


def show(table: dict[str, Any]) -> None:
    """Print the table."""
    from adapters.cli.terminal import echo_table

    echo_table(
        "Overhead of the whole path over a bare script",
        ("figure", "value"),
        [(key, f"{v:.3f}" if isinstance(v, float) else v) for key, v in table.items()],
    )
