"""The input files of a run: out of its archive, and decoded again out of a folder.

Read next: `snapshot_check.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.case_source import FolderCaseSource
from adapters.database.runs import RunRow
from adapters.pacs import Pacs
from adapters.rt.read_folder import FolderScan, scan_folder
from adapters.site_cases import MEBIBYTE, SiteCases
from audit.errors import NotFoundError
from plugins.host.identity import case_digest

if TYPE_CHECKING:
    from adapters.compose import Site


def input_files(site: Site, row: RunRow, others: int) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of every input file of a run, and one of some other series.

    Parameters
    ----------
    others : most series of the study beside the input of which one object is kept too; facts
        of the patient are merged over them.  What the suite wrote is not among them.

    Raises
    ------
    NotFoundError : the archive, or the folder that was worked on, is not at hand.
    UnavailableError : the archive is away.
    """
    chosen = sorted(set(row.series.values()))
    with site.database.reading() as transaction:
        own = transaction.own_series_uids(row.study_instance_uid)
    scan = _scan(site, row)
    if scan is not None:
        yield from _of_scan(scan, row, chosen, others)
        return
    archive = site.archives.get(row.pacs)
    if archive is None:
        raise NotFoundError(
            f"expected archive {row.pacs!r} of run {row.run_id} at hand, found it not",
            advice="Name the folder of files: `osteon incident snapshot ID --input DIR`.",
        )
    for number, uid in enumerate(chosen):
        for index, content in enumerate(archive.retrieve_series(row.study_instance_uid, uid)):
            yield f"{number}/{index:06d}.dcm", content
    yield from _of_others(archive, row, {*chosen, *own}, others)


def input_digest(site: Site, row: RunRow, folder: Path) -> str:
    """Return the digest of the case of a run as the files of a folder give it."""
    limit = site.configuration.limits.input_mb * MEBIBYTE
    source = FolderCaseSource(scan_folder(folder), limit_bytes=limit)
    return case_digest(source.fetch(row.request, site.registry.manifest(row.release_digest)))


def _scan(site: Site, row: RunRow) -> FolderScan | None:
    cases = site.house.cases
    return cases.scans.get(row.pacs) if isinstance(cases, SiteCases) else None


def _of_scan(
    scan: FolderScan, row: RunRow, chosen: list[str], others: int
) -> Iterator[tuple[str, bytes]]:
    for number, uid in enumerate(chosen):
        if uid not in scan.files:
            raise NotFoundError(f"expected the input of run {row.run_id} in the folder, found none")
        for index, path in enumerate(scan.files[uid]):
            yield f"{number}/{index:06d}.dcm", path.read_bytes()
    left = [
        series.series_instance_uid
        for study in scan.studies
        if study.study_instance_uid == row.study_instance_uid
        for series in study.series
        if series.series_instance_uid not in chosen
    ]
    for number, uid in enumerate(left[:others]):
        yield f"others/{number}.dcm", scan.files[uid][0].read_bytes()


def _of_others(
    archive: Pacs, row: RunRow, known: set[str], others: int
) -> Iterator[tuple[str, bytes]]:
    if "search" not in archive.capabilities:
        return
    left = [
        item.series_instance_uid
        for item in archive.search_series(row.study_instance_uid)
        if item.series_instance_uid not in known
    ]
    for number, uid in enumerate(left[:others]):
        found = archive.search_instances(row.study_instance_uid, uid)
        if found:
            yield f"others/{number}.dcm", archive.retrieve_instance(found[0])
