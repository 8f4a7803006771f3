"""Keep the evidence of an incident: everything that a later judgement of its cause needs.

    1  the checkpoint is signed, so that every record of the runs has a proof
    2  the release as it lies here, verified byte by byte
    3  each run: request, input files, documents, records with inclusion proofs
    4  the machine: interpreter, libraries, configuration without secrets, trusted keys
    5  a manifest (RFC 8785) with the SHA-256 of every file; its digest goes on record

The folder is made under another name and renamed when it is whole; nothing in it can be
written from then on.  It holds patient data (the input files) and never leaves by itself.
What cannot be had is named in ``missing``: such a snapshot opens no way to a rollback unless
an approver accepts it with a reason.

Read next: `snapshot_check.py`, which verifies and runs again from it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.config import shown
from adapters.database import Transaction
from adapters.database.runs import RunRow, encode_request
from adapters.governance.persons import Person
from adapters.incidents.acts import act_of, known_incident
from adapters.incidents.machine import machine_facts
from adapters.incidents.snapshot_inputs import input_digest, input_files
from audit import canonical
from audit.errors import DiskFullError, RefusalError, SuiteError
from audit.merkle import prove_inclusion
from governance.holds import SNAPSHOT
from governance.incidents import DECIDERS, Incident, plain_lines
from governance.release import digest_of, folder_name, open_release, verify_unpacked

if TYPE_CHECKING:
    from adapters.compose import Site

SCHEMA = "osteon.evidence/1"
MANIFEST = "manifest.json"
TAKERS = ("physicist", "engineer", "approver")
OTHER_SERIES = 8
"""Of so many other series of the study one header is kept: patient facts are merged over them."""
_MEBIBYTE = 2**20


@dataclass(slots=True)
class _Gathering:
    """A folder that is being filled, and what was noticed meanwhile."""

    root: Path
    reserve_mb: int
    files: dict[str, str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def put(self, name: str, content: bytes) -> None:
        """Write one file, durable on return, and note its digest."""
        free = shutil.disk_usage(self.root).free - len(content)
        if free < self.reserve_mb * _MEBIBYTE:
            raise DiskFullError(
                f"expected {self.reserve_mb} MiB to stay free, found {free // _MEBIBYTE} MiB"
            )
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self.files[name] = digest_of(content)

    def put_json(self, name: str, value: Any) -> None:
        """Write one JSON file."""
        self.put(name, json.dumps(value, indent=1, sort_keys=True).encode())


def take_snapshot(
    site: Site, person: Person, incident_id: str, *, accept_missing: str = ""
) -> Mapping[str, Any]:
    """Keep the evidence of an incident and return what is on record of it.

    Parameters
    ----------
    accept_missing : an approver's reason for taking it as complete although parts are missing.

    Raises
    ------
    RefusalError : the role may not; nothing was kept.
    DiskFullError : there is not enough room; nothing was kept.
    """
    act = act_of(site, person)
    wanted = DECIDERS if accept_missing else TAKERS
    if act.role not in wanted:
        raise RefusalError(
            f"role {act.role} is not one of {', '.join(wanted)}", reasons=("ROLE_NOT_PERMITTED",)
        )
    reason = " ".join(plain_lines(accept_missing))
    site.seal(force=True)
    with site.database.reading() as transaction:
        incident = known_incident(transaction, incident_id)
    with _folder(site, incident_id) as (place, building):
        gathering = _Gathering(building, site.configuration.limits.free_space_mb)
        _gather(site, incident, gathering)
        manifest = {
            "schema": SCHEMA,
            "incident_id": incident_id,
            "site": site.configuration.site.name,
            "node": site.configuration.site.node,
            "taken_at": act.at.isoformat(),
            "taken_by": act.person,
            "release_digest": incident.release_digest,
            "run_ids": list(incident.run_ids),
            "findings": sorted(set(gathering.findings)),
            "missing": sorted(set(gathering.missing)),
            "files": gathering.files,
        }
        raw = canonical.encode(manifest)
        gathering.put(MANIFEST, raw)
    kept = {
        "schema": SCHEMA,
        "folder": place.name,
        "manifest_sha256": digest_of(raw),
        "file_count": len(manifest["files"]),
        "findings": manifest["findings"],
        "missing": manifest["missing"],
        "accepted_because": reason,
        "complete": not manifest["missing"] or bool(reason),
    }
    with site.database.transaction() as transaction:
        document = transaction.put_governed(SNAPSHOT, incident_id, kept, act.person, act.at)
        site.journal.governed(transaction, document)
        site.journal.evidence(transaction, incident, kept, act.person)
    site.log.seal(site.database)
    return kept


def _gather(site: Site, incident: Incident, gathering: _Gathering) -> None:
    _attempt(gathering, "RELEASE", partial(_release, site, incident, gathering))
    with site.database.reading() as transaction:
        _log(site, transaction, gathering)
        rows = {run_id: transaction.run(run_id) for run_id in incident.run_ids}
        for run_id in incident.run_ids:
            _records(transaction, run_id, gathering)
            _documents(transaction, run_id, gathering)
        _history(transaction, incident, gathering)
    for run_id, row in rows.items():
        if row is None:
            gathering.missing.append("RUN_UNKNOWN")
            continue
        gathering.put(f"runs/{run_id}/request.json", encode_request(row.request).encode())
        kept = {"input_digest": row.input_digest, "status": row.status, "pacs": row.pacs}
        gathering.put_json(f"runs/{run_id}/run.json", kept)
        if row.input_digest is not None:
            _attempt(gathering, "INPUTS", partial(_inputs, site, row, gathering))
    gathering.put_json("machine.json", machine_facts())
    gathering.put_json("configuration.json", shown(site.configuration))


def _attempt(gathering: _Gathering, part: str, what: Callable[[], None]) -> None:
    """Gather one part; what the suite cannot get is named, so that the rest is kept."""
    try:
        what()
    except DiskFullError:
        raise
    except (SuiteError, OSError) as error:
        code = error.code if isinstance(error, SuiteError) else type(error).__name__
        gathering.missing.append(f"{part}:{code}")


def _release(site: Site, incident: Incident, gathering: _Gathering) -> None:
    """Keep the bundle and verify it and what the workers load; damage is a finding."""
    row = site.registry.row(incident.release_digest)
    path = Path(row.path)
    gathering.put(f"release/{row.plugin}-{row.version}.osteon", path.read_bytes())
    for check in (
        lambda: open_release(path, incident.release_digest).verify(),
        lambda: verify_unpacked(site.home.releases / folder_name(incident.release_digest)),
        lambda: site.registry.verify_signature(open_release(path)),
    ):
        try:
            check()
        except SuiteError as error:
            gathering.findings.append(error.code)


def _log(site: Site, transaction: Transaction, gathering: _Gathering) -> None:
    """Keep the signed checkpoint and the key that it is verified with."""
    checkpoint = transaction.last_checkpoint()
    if checkpoint is not None:
        gathering.put("log/checkpoint.txt", checkpoint.note.encode())
    gathering.put("log/verifier.txt", site.keys.log.verifier.text().encode())


def _records(transaction: Transaction, run_id: str, gathering: _Gathering) -> None:
    """Keep every record of a run as it was stored, each with its inclusion proof."""
    checkpoint = transaction.last_checkpoint()
    size = checkpoint.tree_size if checkpoint is not None else 0
    for leaf in transaction.records_of(run_id):
        if leaf.leaf_index is None or leaf.leaf_index >= size:
            gathering.missing.append("RECORD_NOT_SIGNED")
            continue
        name = f"runs/{run_id}/records/{leaf.leaf_index:08d}"
        proof = prove_inclusion(leaf.leaf_index, size, transaction.nodes)
        gathering.put(f"{name}.json", leaf.leaf)
        gathering.put_json(
            f"{name}.proof.json",
            {
                "leaf_index": leaf.leaf_index,
                "tree_size": size,
                "proof": [item.hex() for item in proof],
            },
        )


def _documents(transaction: Transaction, run_id: str, gathering: _Gathering) -> None:
    for document in transaction.documents(run_id):
        try:
            content = document.path.read_bytes()
        except OSError:
            gathering.missing.append(f"DOCUMENT:{document.kind}")
            continue
        gathering.put(f"runs/{run_id}/documents/{document.path.name}", content)
    for row in transaction.statistics(run_id):
        gathering.put(f"runs/{run_id}/statistics.json", row.statistics.encode())


def _history(transaction: Transaction, incident: Incident, gathering: _Gathering) -> None:
    """Keep which release was in which state when, and who decided."""
    gathering.put_json(
        "deployments.json",
        [
            {
                "release_digest": item.release_digest,
                "state": item.state,
                "since": item.since.isoformat(),
                "decided_by": item.decided_by,
                "evidence": dict(item.evidence),
            }
            for item in transaction.deployment_history(incident.plugin)
        ],
    )


def _inputs(site: Site, row: RunRow, gathering: _Gathering) -> None:
    """Keep the input files as the archive has them now; another content is a finding."""
    place = f"runs/{row.run_id}/inputs"
    for name, content in input_files(site, row, OTHER_SERIES):
        gathering.put(f"{place}/{name}", content)
    if input_digest(site, row, gathering.root / place) != row.input_digest:
        gathering.findings.append("INPUT_CHANGED")


@contextmanager
def _folder(site: Site, incident_id: str) -> Iterator[tuple[Path, Path]]:
    """Give a folder to fill; it is renamed and closed for writing when it was filled."""
    number = 1
    while (place := site.home.evidence / f"{incident_id}-{number}").exists():
        number += 1
    building = place.with_name(f".{place.name}.new")
    shutil.rmtree(building, ignore_errors=True)  # of an attempt that died
    building.mkdir(mode=0o700)
    try:
        yield place, building
        for path in sorted(building.rglob("*"), reverse=True):
            path.chmod(0o500 if path.is_dir() else 0o400)
        building.rename(place)
        place.chmod(0o500)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
