"""Exports: every format carries the hash of each record, filters are exact, each is on record."""

from __future__ import annotations

import csv
import hashlib
import json
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.audit_views import dicom_message, fhir_event
from adapters.compose import Site
from adapters.keeping import purging
from adapters.keeping.exporting import Choice, Exported, export
from audit.checkpoint import verify
from audit.errors import ConfigurationError
from audit.merkle import leaf_hash
from audit.record import Subject
from tests.simulators.audit_records import PATIENT, RELEASE, body_of, record_of
from tests.simulators.governed_site import ADMINISTRATOR, APPROVER, Clock, governed_site, records

RUNS = ("1a" * 16, "2b" * 16)
OTHER = "hmac:v1:" + "9" * 32
RELEASES = (RELEASE, "sha256:" + "ef" * 32)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Site, Clock]]:
    """A site with two runs of two plugins, two patients and two releases, a day apart."""
    with governed_site(tmp_path) as (site, clock):
        clock.forward(days=-2)
        for run, patient, release, name in zip(
            RUNS, (PATIENT, OTHER), RELEASES, ("contouring", "example"), strict=True
        ):
            with site.database.transaction() as transaction:
                for kind in ("run_opened", "input_read", "inference", "delivery", "run_closed"):
                    body = body_of(kind)
                    if "plugin" in body:
                        body["plugin"] = dict(_inference_plugin(body), id=name, version="1.0.0")
                    record = record_of(
                        kind, body=body, now=clock(), run_id=run, release_digest=release,
                        subject=Subject(patient, "40-64", "F", "T-D1400"),
                    )  # fmt: skip
                    site.log.append(transaction, record)
            clock.forward(days=1)
        site.seal(force=True)
        yield site, clock


def _inference_plugin(body: dict[str, Any]) -> dict[str, Any]:
    return body["plugin"] if isinstance(body["plugin"], dict) else {}


def _export(site: Site, tmp_path: Path, form: str, **choice: Any) -> Exported:
    return export(site, tmp_path / f"out.{form}", form, Choice(**choice), "account:compliance")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_csv_row_proves_its_record(site: tuple[Site, Clock], tmp_path: Path) -> None:
    """The leaf hash is over the last column; the checkpoint beside the file is signed."""
    here, _ = site
    done = _export(here, tmp_path, "csv")
    rows = _rows(done.path)
    assert len(rows) == done.count
    assert done.count >= 10
    for number, row in enumerate(rows):
        assert int(row["leaf_index"]) == number
        assert leaf_hash(row["record"].encode()).hex() == row["leaf_sha256"]
    note = (tmp_path / "out.csv.checkpoint.txt").read_text("utf-8")
    assert verify(note, here.keys.log.verifier).size == int(rows[0]["tree_size"])
    assert done.sha256 == f"sha256:{hashlib.sha256(done.path.read_bytes()).hexdigest()}"
    assert done.path.stat().st_mode & 0o777 == 0o600


def test_every_format_says_the_same_of_every_record(
    site: tuple[Site, Clock], tmp_path: Path
) -> None:
    """CSV, NDJSON, Parquet, FHIR and DICOM carry the same hashes in the same order."""
    here, _ = site
    choice = {"run_id": RUNS[0]}
    hashes = [row["leaf_sha256"] for row in _rows(_export(here, tmp_path, "csv", **choice).path)]
    assert len(hashes) == 5
    lines = _export(here, tmp_path, "ndjson", **choice).path.read_bytes().splitlines()
    assert [json.loads(line)["leaf_sha256"] for line in lines] == hashes
    for line, value in zip(lines, hashes, strict=True):
        stored = line[line.index(b'"record":') + 9 : -1]
        assert leaf_hash(stored).hex() == value
    events = _export(here, tmp_path, "fhir", **choice).path.read_text("utf-8").splitlines()
    found = [fhir_event.decode(json.loads(line)).record for line in events]
    assert [item.detail("osteon-leaf-sha256") for item in found] == hashes
    messages = _export(here, tmp_path, "dicom", **choice).path.read_bytes().splitlines()
    found = [dicom_message.decode(line).record for line in messages]
    assert [item.detail("osteon-leaf-sha256") for item in found] == hashes
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(_export(here, tmp_path, "parquet", **choice).path)
    assert table.column("leaf_sha256").to_pylist() == hashes
    assert b"osteon" in table.schema.metadata[b"osteon.checkpoint"]
    assert str(table.schema.field("leaf_index").type) == "int64"


@pytest.mark.reg("AIA-12.2b")
def test_filters_return_exactly_what_they_say(site: tuple[Site, Clock], tmp_path: Path) -> None:
    """By kind, time, plugin, release and pseudonym, alone and together."""
    here, clock = site
    day = clock() - timedelta(days=1)

    def kinds(**choice: Any) -> list[str]:
        return [row["kind"] for row in _rows(_export(here, tmp_path, "csv", **choice).path)]

    run = ["run_opened", "input_read", "inference", "delivery", "run_closed"]
    assert kinds(kinds=("inference",)) == ["inference"] * 2
    assert kinds(pseudonym=PATIENT) == run
    assert kinds(release=RELEASE[:15]) == run
    assert kinds(release=RELEASES[1]) == run
    assert kinds(plugin="example") == ["run_opened", "inference"]
    assert kinds(run_id=RUNS[1], kinds=("delivery", "inference")) == ["inference", "delivery"]
    assert kinds(end=day) == run
    assert kinds(start=day, end=clock(), kinds=tuple(run)) == run
    assert kinds(pseudonym="hmac:v1:nobody") == []


@pytest.mark.reg("LOGSEC-1")
def test_an_export_is_an_access_and_an_export_on_record(
    site: tuple[Site, Clock], tmp_path: Path
) -> None:
    """That somebody read stands there before; what left, and its digest, after."""
    here, _ = site
    before = len(records(here, "access"))
    done = _export(here, tmp_path, "csv", kinds=("fault",), pseudonym=PATIENT)
    (access,) = records(here, "access")[before:]
    assert access.actor.id == "account:compliance"
    assert access.actor.role == "compliance"
    (record,) = records(here, "export")
    assert record.body["sha256"] == done.sha256
    assert record.body["filters"]["pseudonym"] == PATIENT
    assert record.body["filters"]["kinds"] == ["fault"]
    assert (record.body["count"], record.event_id) == (0, done.event_id)


def test_an_export_that_fails_leaves_no_file_and_says_so(
    site: tuple[Site, Clock], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a file is never there, and the failure is on record."""
    here, _ = site

    def full(*_: object) -> bytes:
        raise OSError(28, "no space")

    monkeypatch.setattr("adapters.keeping.exporting.row_of", full)
    with pytest.raises(OSError, match="space"):
        _export(here, tmp_path, "csv")
    assert not list(tmp_path.glob("*out.csv*"))
    assert records(here, "export")[0].outcome.code == 8


def test_a_tombstone_keeps_its_hash_in_an_export(site: tuple[Site, Clock], tmp_path: Path) -> None:
    """A purged record has a row with hash and purge, and no content; views leave it out."""
    here, clock = site
    before = _rows(_export(here, tmp_path, "csv").path)
    clock.forward(days=3700)
    here.seal(force=True)
    purging.approve(here, purging.propose(here, ADMINISTRATOR).name, APPROVER)
    rows = _rows(_export(here, tmp_path, "csv").path)
    assert rows[0]["leaf_sha256"] == before[0]["leaf_sha256"]
    assert rows[0]["record"] == ""
    assert rows[0]["purged_by"] == records(here, "purge")[0].event_id
    assert _export(here, tmp_path, "fhir", kinds=("inference",)).count == 0
    assert _export(here, tmp_path, "ndjson", kinds=("inference",)).count == 2


def test_a_bundle_is_an_export_too(site: tuple[Site, Clock], tmp_path: Path) -> None:
    """It is the whole log or none, and on record."""
    here, _ = site
    done = _export(here, tmp_path, "bundle")
    assert "verify_log.py" in zipfile.ZipFile(done.path).namelist()
    assert records(here, "export")[-1].body["format"] == "bundle"
    with pytest.raises(ConfigurationError, match="whole"):
        _export(here, tmp_path, "bundle", kinds=("fault",))


@pytest.mark.parametrize(("form", "choice"), [("xml", {}), ("csv", {"kinds": ("nothing",)})])
def test_what_does_not_exist_is_refused(
    site: tuple[Site, Clock], tmp_path: Path, form: str, choice: dict[str, Any]
) -> None:
    """An unknown format or kind is named, and nothing is written."""
    with pytest.raises(ConfigurationError):
        _export(site[0], tmp_path, form, **choice)
    assert not list(tmp_path.glob("out.*"))
