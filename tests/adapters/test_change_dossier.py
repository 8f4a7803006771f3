"""The dossier of a change: whole, signed, checked by anybody, and nothing in it is invented."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.change.acts import name_baseline, record_change
from adapters.change.dossier import make_dossier
from adapters.change.evidence import Brought
from adapters.change.standing import classified
from adapters.compose import Site
from adapters.governance.persons import Somebody
from audit.errors import RefusalError, SignatureError
from governance.change.dossier import INDEX, KIND, SIGNATURE, open_dossier
from governance.change.ledger import REQUEST, Baseline, ChangeRequest, encode
from governance.release import digest_of, open_release, pack_zip
from tests.simulators.governed_site import (
    ADMINISTRATOR,
    APPROVER,
    CLINICIAN,
    COMPLIANCE,
    ENGINEER,
    PHYSICIST,
    add_release,
    approved,
    certificate,
    governed_site,
    records,
)

REPORT = b'{"verdict": "pass"}\n'


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with a certified baseline and a successor whose change is on record."""
    with governed_site(tmp_path) as (opened, _):
        yield opened


def changed(site: Site) -> tuple[str, ChangeRequest]:
    """Return a release with its change request, and the request."""
    old = approved(site, add_release(site, "1.0.0", parameters={"threshold": 0.5}))
    new = add_release(site, "1.1.0", parameters={"threshold": 0.7})
    approved(site, new, report_digest=digest_of(REPORT))
    at = site.now() - timedelta(days=60)
    name_baseline(site, Baseline("trial", old, "NB-1", at), APPROVER)
    pair = tuple(open_release(Path(site.registry.row(d).path), d) for d in (old, new))
    found = classified(site, pair[0], pair[1], Brought())
    return new, record_change(site, found, Brought(), (pair[0], pair[1]), ENGINEER)


def names_in(raw: bytes) -> set[str]:
    """Return the files of a dossier."""
    return set(zipfile.ZipFile(io.BytesIO(raw)).namelist())


@pytest.mark.reg("MDR-IX")
def test_a_dossier_holds_what_the_notified_body_looks_at(site: Site, tmp_path: Path) -> None:
    """Differences, reasons, certificates, report, technical file; what is not there is named."""
    digest, request = changed(site)
    assert request.change_class in ("D2", "D3")
    (tmp_path / "report.json").write_bytes(REPORT)
    out = tmp_path / "dossier.zip"
    index = make_dossier(site, digest, [tmp_path / "report.json"], out, PHYSICIST)
    raw = out.read_bytes()
    assert open_dossier(raw, site.registry.trust()) == index
    names = names_in(raw)
    assert {
        "change/request.json", "difference/releases.json", "difference/baseline.json",
        "certificates/old.json", "certificates/new.json", "releases/old.json",
        "releases/new.json", "technical-file/annex_iv.json", "technical-file/card/chai.xml",
        INDEX, SIGNATURE,
    } <= names  # fmt: skip
    with zipfile.ZipFile(out) as archive:
        stated = json.loads(archive.read("change/request.json"))
        (report,) = [name for name in names if name.startswith("reports/")]
        assert archive.read(report) == REPORT
        differs = json.loads(archive.read("difference/releases.json"))
    assert stated["facts"]["reasons"]
    assert json.dumps(differs).count("threshold") > 0
    assert (index["change_class"], index["new_digest"]) == (request.change_class, digest)
    assert {"plan/plan.json", "budget/budget.json", "protocol/run.json"} <= set(index["missing"])
    with site.database.reading() as transaction:
        document = transaction.governed(KIND, digest)
    assert document is not None
    assert document.content["sha256"] == digest_of(raw)
    assert "change_dossier" in [r.body["document"] for r in records(site, "governed")]


@pytest.mark.reg("MDR-IX")
def test_a_report_that_is_not_there_is_named_and_a_strange_one_refused(
    site: Site, tmp_path: Path
) -> None:
    """Reports are known by digest; nothing else comes in under their name."""
    digest, _ = changed(site)
    index = make_dossier(site, digest, [], tmp_path / "a.zip", APPROVER)
    assert f"reports/{digest_of(REPORT)}" in index["missing"]
    (tmp_path / "other.json").write_bytes(b"{}")
    with pytest.raises(RefusalError) as caught:
        make_dossier(site, digest, [tmp_path / "other.json"], tmp_path / "b.zip", APPROVER)
    assert caught.value.reasons == ("REPORT_NOT_NAMED",)
    assert not (tmp_path / "b.zip").exists()


@pytest.mark.reg("MDR-IX")
def test_every_changed_byte_is_refused_by_name(site: Site, tmp_path: Path) -> None:
    """A file changed, added or removed, another index, another signature, no dossier at all."""
    digest, _ = changed(site)
    make_dossier(site, digest, [], tmp_path / "a.zip", ENGINEER)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    trust = site.registry.trust()
    for name in content:
        flipped = content[name][:-1] + bytes([content[name][-1] ^ 1])
        for other in (
            content | {name: flipped},
            {key: raw for key, raw in content.items() if key != name},
        ):
            with pytest.raises(SignatureError):
                open_dossier(pack_zip(other), trust)
    with pytest.raises(SignatureError, match=r"more\.txt"):
        open_dossier(pack_zip(content | {"more.txt": b""}), trust)
    for raw in (b"", b"PK", pack_zip({"a": b""})):
        with pytest.raises(SignatureError):
            open_dossier(raw, trust)
    with pytest.raises(SignatureError):
        open_dossier((tmp_path / "a.zip").read_bytes(), ())


@pytest.mark.parametrize("person", [CLINICIAN, COMPLIANCE, ADMINISTRATOR], ids=str)
def test_who_makes_no_changes_makes_no_dossier(
    site: Site, tmp_path: Path, person: Somebody
) -> None:
    """Roles that decide nothing about changes are refused."""
    digest, _ = changed(site)
    with pytest.raises(RefusalError):
        make_dossier(site, digest, [], tmp_path / "a.zip", person)


def test_a_change_that_nobody_approves_has_no_dossier(site: Site, tmp_path: Path) -> None:
    """D0, D1, a withdrawn change and a release without one: refused with what to do."""
    digest, request = changed(site)
    for other, code in (
        (replace(request, change_class="D0"), "CHANGE_NEEDS_NO_APPROVAL"),
        (replace(request, change_class="D1"), "CHANGE_NEEDS_NO_APPROVAL"),
        (replace(request, withdrawn=True), "CHANGE_MISSING"),
    ):
        with site.database.transaction() as transaction:
            transaction.put_governed(REQUEST, digest, encode(other), "engineer", site.now())
        with pytest.raises(RefusalError) as caught:
            make_dossier(site, digest, [], tmp_path / "a.zip", APPROVER)
        assert caught.value.reasons == (code,)
    lone = add_release(site, "3.0.0")
    with pytest.raises(RefusalError):
        make_dossier(site, lone, [], tmp_path / "a.zip", APPROVER)
    assert certificate(site, lone)
