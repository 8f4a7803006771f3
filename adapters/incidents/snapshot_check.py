"""Verify an evidence snapshot, and run its runs again from nothing but the snapshot.

Read next: `sending.py`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.incidents.snapshot import MANIFEST, SCHEMA
from adapters.replay import replay_run
from adapters.rt.read_folder import scan_folder
from adapters.site_cases import SiteCases
from audit import canonical
from audit.checkpoint import parse_key, verify
from audit.errors import EvidenceTamperedError, LogTamperedError, NotFoundError, RecordError
from audit.merkle import check_inclusion, leaf_hash
from governance.holds import SNAPSHOT
from governance.release import digest_of, folder_name, open_release, unpack
from plugins.host.runner import ReleaseWorkers

if TYPE_CHECKING:
    from adapters.compose import Site


def find_snapshot(site: Site, incident_id: str) -> tuple[Path, str]:
    """Return the folder of the newest snapshot of an incident and its manifest's digest."""
    with site.database.reading() as transaction:
        document = transaction.governed(SNAPSHOT, incident_id)
    if document is None:
        raise NotFoundError(
            f"expected an evidence snapshot of {incident_id[:40]!r}, found none",
            advice=f"Take one: `osteon incident snapshot {incident_id[:40]}`.",
        )
    return site.home.evidence / document.content["folder"], document.content["manifest_sha256"]


def check_snapshot(site: Site, incident_id: str) -> dict[str, Any]:
    """Verify the newest snapshot of an incident and run again every run whose input it holds."""
    folder, digest = find_snapshot(site, incident_id)
    manifest = verify_snapshot(folder, digest)
    runs = [
        rerun_snapshot(site, folder, run_id)
        for run_id in manifest["run_ids"]
        if (folder / "runs" / run_id / "inputs").is_dir()
    ]
    return {
        "folder": folder.name,
        "manifest_sha256": digest,
        "verified": True,
        "findings": manifest["findings"],
        "missing": manifest["missing"],
        "runs": runs,
    }


def verify_snapshot(folder: Path, manifest_digest: str) -> Mapping[str, Any]:
    """Return the manifest of a snapshot after reading every byte of it.

    Raises
    ------
    EvidenceTamperedError : the manifest is another one, a file differs, is missing or is too
        many, a record has no valid proof, or the checkpoint no valid signature.
    """
    raw = _read(folder, MANIFEST)
    if digest_of(raw) != manifest_digest:
        raise EvidenceTamperedError(
            f"expected manifest {manifest_digest} in {folder.name}, found {digest_of(raw)}"
        )
    try:
        manifest = canonical.decode(raw)
    except RecordError as error:
        raise EvidenceTamperedError(f"expected {SCHEMA} in {folder.name}") from error
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}
    strange = sorted(found ^ {*manifest["files"], MANIFEST})
    if strange:
        raise EvidenceTamperedError(f"{strange[0]} in {folder.name} is missing or too many")
    for name, digest in sorted(manifest["files"].items()):
        if digest_of(_read(folder, name)) != digest:
            raise EvidenceTamperedError(f"{name} in {folder.name} is not what the manifest names")
    _verify_records(folder, manifest["files"])
    return dict(manifest)


def rerun_snapshot(site: Site, folder: Path, run_id: str) -> dict[str, Any]:
    """Return how a run compares with its record when release and input come from a snapshot.

    The bundle is unpacked into a folder of its own and its workers start from there, so that
    it does not matter what has become of the release or the study at the site since.
    """
    with site.database.reading() as transaction:
        row = transaction.run(run_id)
    inputs = folder / "runs" / run_id / "inputs"
    if row is None or not inputs.is_dir() or not isinstance(site.house.cases, SiteCases):
        raise NotFoundError(f"expected run {run_id[:32]} with its input in {folder.name}")
    (bundle,) = (folder / "release").glob("*.osteon")
    with tempfile.TemporaryDirectory(dir=site.home.staging) as place:
        release = open_release(bundle, row.release_digest)
        unpack(release, Path(place) / folder_name(release.digest))
        cases = replace(site.house.cases, scans={row.pacs: scan_folder(inputs)}, _sources={})
        with ReleaseWorkers(Path(place)) as workers:
            house = replace(site.house, cases=cases, workers=workers)
            return replay_run(replace(site, house=house, works_on_files=True), run_id)


def _verify_records(folder: Path, names: Mapping[str, str]) -> None:
    """Check every record against the signed checkpoint."""
    proofs = [name for name in names if name.endswith(".proof.json")]
    if not proofs:
        return
    try:
        key = parse_key(_read(folder, "log/verifier.txt").decode())
        checkpoint = verify(_read(folder, "log/checkpoint.txt").decode(), key)
        for name in proofs:
            proof = json.loads(_read(folder, name))
            if proof["tree_size"] != checkpoint.size:
                raise LogTamperedError("expected a proof against the checkpoint that was kept")
            leaf = _read(folder, name.replace(".proof.json", ".json"))
            check_inclusion(
                leaf_hash(leaf),
                proof["leaf_index"],
                checkpoint.size,
                [bytes.fromhex(item) for item in proof["proof"]],
                checkpoint.root_hash,
            )
    except (LogTamperedError, KeyError, ValueError) as error:
        raise EvidenceTamperedError(f"a record in {folder.name} has no valid proof") from error


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise EvidenceTamperedError(f"{name} in {folder.name} cannot be read") from error
