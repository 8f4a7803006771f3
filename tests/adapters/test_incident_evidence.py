"""Evidence of an incident: all of it is kept, none of it can change, and it runs again."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.compose import Site
from adapters.home import Home
from adapters.incidents.acts import Report, place_hold, report_incident
from adapters.incidents.snapshot import MANIFEST, take_snapshot
from adapters.incidents.snapshot_check import (
    check_snapshot,
    find_snapshot,
    rerun_snapshot,
    verify_snapshot,
)
from audit.errors import (
    DiskFullError,
    EvidenceTamperedError,
    NotFoundError,
    RefusalError,
)
from audit.record import decode
from governance.gates import Passage
from governance.holds import hold_gate, refuse_purge, standing
from governance.release import folder_name
from tests.simulators.incident_site import PEOPLE, finished_run, with_people

APPROVER = PEOPLE["approver"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Home, str]:
    """A home with one finished run."""
    root = tmp_path_factory.mktemp("evidence")
    return (root, *finished_run(root))


@pytest.fixture(scope="module")
def site(made: tuple[Path, Home, str]) -> Iterator[Site]:
    """The site, open."""
    root, home, _ = made
    with with_people(home, root) as opened:
        yield opened


@pytest.fixture(scope="module")
def taken(site: Site, made: tuple[Path, Home, str]) -> str:
    """The id of an incident whose evidence was kept by an engineer."""
    incident_id = incident_of(site, made)
    kept = take_snapshot(site, PEOPLE["engineer"], incident_id)
    assert kept["complete"]
    assert kept["missing"] == kept["findings"] == []
    return incident_id


def incident_of(site: Site, made: tuple[Path, Home, str], *, with_run: bool = True) -> str:
    """Open an incident of the run, or of its release, and return its id."""
    with site.database.reading() as transaction:
        row = transaction.run(made[2])
    assert row is not None
    report = Report(
        row.release_digest, "serious", site.now(), (row.run_id,) if with_run else (), zone="UTC"
    )
    return report_incident(site, PEOPLE["clinician"], report).incident_id


@pytest.mark.reg("AIA-73.6")
def test_a_snapshot_holds_everything_and_runs_again(
    site: Site, made: tuple[Path, Home, str], taken: str
) -> None:
    """Release, input, records with proofs, documents and machine; the run comes out the same."""
    folder, digest = find_snapshot(site, taken)
    manifest = verify_snapshot(folder, digest)
    names = set(manifest["files"])
    run = f"runs/{made[2]}"
    assert {"machine.json", "configuration.json", "deployments.json", f"{run}/run.json"} <= names
    for part in ("release/", "log/", f"{run}/inputs/", f"{run}/records/", f"{run}/documents/"):
        assert any(name.startswith(part) for name in names), part
    assert sum(name.endswith(".proof.json") for name in names) >= 5
    checked = check_snapshot(site, taken)
    assert [run["verdict"] for run in checked["runs"]] == ["identical"]
    with site.database.reading() as transaction:
        leaves = list(transaction.leaves(0, transaction.tree_size()))
    (evidence,) = (
        record
        for record in (decode(leaf.leaf) for leaf in leaves if leaf.kind == "evidence")
        if record.body["incident"] == taken
    )
    assert evidence.body["manifest_sha256"] == digest
    assert evidence.actor.role == "engineer"


@pytest.mark.reg("AIA-73.6")
def test_the_snapshot_alone_is_enough(site: Site, made: tuple[Path, Home, str], taken: str) -> None:
    """It runs again when release and study are gone from the site."""
    folder, _ = find_snapshot(site, taken)
    with site.database.reading() as transaction:
        row = transaction.run(made[2])
    assert row is not None
    unpacked = site.home.releases / folder_name(row.release_digest)
    away = unpacked.with_name("away")
    unpacked.rename(away)
    try:
        bare = replace(
            site,
            archives={},
            house=replace(site.house, cases=replace(site.house.cases, archives={})),
        )  # type: ignore[type-var]
        assert rerun_snapshot(bare, folder, row.run_id)["verdict"] == "identical"
    finally:
        away.rename(unpacked)
    with pytest.raises(NotFoundError):
        rerun_snapshot(site, folder, "another-run")


@pytest.mark.reg("AIA-73.6")
@pytest.mark.parametrize("damage", ["byte", "gone", "added", "manifest", "proof"])
def test_a_changed_snapshot_is_found_out(
    site: Site, taken: str, tmp_path: Path, damage: str
) -> None:
    """One byte, a file less or more, another manifest or a wrong proof: each is named."""
    folder, digest = find_snapshot(site, taken)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o700)
    verify_snapshot(copy, digest)
    record = next(p for p in copy.rglob("records/*.json") if "proof" not in p.name)
    if damage == "byte":
        content = bytearray(record.read_bytes())
        content[-2] ^= 1
        record.write_bytes(content)
    elif damage == "gone":
        record.unlink()
    elif damage == "added":
        (copy / "note.txt").write_text("hello")
    elif damage == "manifest":
        (copy / MANIFEST).write_bytes((copy / MANIFEST).read_bytes() + b" ")
    else:
        digest = _with_other_proof(copy, record)
    with pytest.raises(EvidenceTamperedError):
        verify_snapshot(copy, digest)


def _with_other_proof(copy: Path, record: Path) -> str:
    """Exchange a record and its proof's index consistently, and return the new digest."""
    from audit import canonical
    from governance.release import digest_of

    manifest = json.loads((copy / MANIFEST).read_bytes())
    proof = record.with_suffix(".proof.json")
    content = json.loads(proof.read_text())
    content["leaf_index"] += 1
    proof.write_text(json.dumps(content))
    manifest["files"][str(proof.relative_to(copy))] = digest_of(proof.read_bytes())
    raw = canonical.encode(manifest)
    (copy / MANIFEST).write_bytes(raw)
    return digest_of(raw)


@pytest.mark.reg("AIA-73.6")
def test_what_was_kept_cannot_be_written(site: Site, made: tuple[Path, Home, str]) -> None:
    """No file and no folder of a snapshot is open for writing, and no half of one is left."""
    incident_id = incident_of(site, made, with_run=False)
    first = take_snapshot(site, APPROVER, incident_id)["folder"]
    second = take_snapshot(site, APPROVER, incident_id)["folder"]
    assert first != second
    folder, _ = find_snapshot(site, incident_id)
    assert folder.name == second
    for path in (folder, *folder.rglob("*")):
        assert not path.stat().st_mode & 0o222, path
    assert not list(site.home.evidence.glob(".*"))


def test_damage_that_is_there_is_kept_as_a_finding(
    site: Site, made: tuple[Path, Home, str]
) -> None:
    """A release that was tampered with is evidence: it is kept and named, not refused."""
    incident_id = incident_of(site, made)
    with site.database.reading() as transaction:
        row = transaction.run(made[2])
    assert row is not None
    member = site.home.releases / folder_name(row.release_digest) / "card.md"
    before = member.read_bytes()
    member.chmod(0o600)
    member.write_bytes(before + b"x")
    try:
        kept = take_snapshot(site, APPROVER, incident_id)
    finally:
        member.write_bytes(before)
    assert kept["findings"] == ["RELEASE_TAMPERED"]
    assert kept["complete"]


@pytest.mark.reg("AIA-73.6")
def test_without_the_study_it_is_incomplete_until_an_approver_accepts_that(
    site: Site, made: tuple[Path, Home, str]
) -> None:
    """What cannot be had is named, and opens the way to a rollback only on an approver's word."""
    incident_id = incident_of(site, made)
    bare = replace(site, archives={})
    kept = take_snapshot(bare, PEOPLE["physicist"], incident_id)
    assert (kept["missing"], kept["complete"]) == (["INPUTS:NOT_FOUND"], False)
    for person, reason in ((PEOPLE["physicist"], "the PACS lost it"), (APPROVER, "a^b")):
        with pytest.raises(RefusalError):
            take_snapshot(bare, person, incident_id, accept_missing=reason)
    kept = take_snapshot(bare, APPROVER, incident_id, accept_missing="the PACS lost it")
    assert (kept["complete"], kept["accepted_because"]) == (True, "the PACS lost it")


def test_a_full_disk_keeps_nothing(site: Site, made: tuple[Path, Home, str]) -> None:
    """Where the room does not suffice, nothing is left behind and nothing is on record."""
    incident_id = incident_of(site, made)
    limits = site.configuration.limits.model_copy(update={"free_space_mb": 10**9})
    full = replace(site, configuration=site.configuration.model_copy(update={"limits": limits}))
    before = sorted(site.home.evidence.iterdir())
    with pytest.raises(DiskFullError):
        take_snapshot(full, APPROVER, incident_id)
    assert sorted(site.home.evidence.iterdir()) == before
    with pytest.raises(NotFoundError):
        find_snapshot(site, incident_id)


@pytest.mark.parametrize("role", ["clinician", "compliance", "administrator"])
def test_who_may_not_take_a_snapshot(site: Site, made: tuple[Path, Home, str], role: str) -> None:
    """A snapshot copies patient data: physicists, engineers and approvers take it."""
    incident_id = incident_of(site, made, with_run=False)
    with pytest.raises(RefusalError):
        take_snapshot(site, PEOPLE[role], incident_id)


@pytest.mark.reg("AIA-73.6")
def test_hold_and_rollback_on_a_real_site(site: Site, made: tuple[Path, Home, str]) -> None:
    """The hold names the patient's pseudonym; the gate opens to a rollback with the snapshot."""
    incident_id = incident_of(site, made)
    place_hold(site, PEOPLE["physicist"], incident_id)
    with site.database.reading() as transaction:
        (hold,) = (h for h in standing(transaction) if h.incident_id == incident_id)
        assert hold.subjects
        assert all(name.startswith("hmac:v1:") for name in hold.subjects)
        with pytest.raises(RefusalError):
            refuse_purge(transaction, subjects=hold.subjects)
    other = "sha256:" + "c" * 64
    passage = Passage(
        hold.site, "research", hold.plugin, other, {}, "standby", "active",
        "x", "approver", site.now(),
    )  # fmt: skip

    def codes() -> set[str]:
        with site.database.reading() as transaction:
            return {
                item.code for item in hold_gate(passage, transaction) if incident_id in item.text
            }

    assert codes() == {"SNAPSHOT_MISSING"}
    take_snapshot(site, APPROVER, incident_id)
    assert codes() == set()
