"""From a run of the harness to a certificate that gates a release, and what stops it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.compose import Site
from adapters.governance.certifying import certify
from adapters.validation.kept_runs import CERTIFICATE, REPORT, read_run
from adapters.validation.reporting import ISSUED, certify_run, write_report
from adapters.validation.running import RESULTS
from audit.errors import RefusalError, SignatureError, SuiteError
from governance.certificate import decode as decode_certificate
from governance.signing import load_trust, store_trust
from tests.simulators.governed_site import (
    CLINICIAN,
    COMPLIANCE,
    ENGINEER,
    PHYSICIST,
    add_release,
    governed_site,
    records,
    state_of,
)
from tests.simulators.validation_site import finished_run, write_files
from validation.report.document import ReportTamperedError
from validation.report.issuing import verify_files


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A governed site without a release."""
    with governed_site(tmp_path) as (opened, _):
        yield opened


@dataclass(frozen=True)
class Certified:
    """A site with a certified run that nobody has attached yet."""

    site: Site
    digest: str
    folder: Path


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certified]:
    """One certified run for the tests that leave it as it is."""
    with governed_site(tmp_path_factory.mktemp("certified")) as (site, _):
        yield Certified(site, *_certified(site))


def _certified(site: Site, **changes: float) -> tuple[str, Path]:
    """Return a release with the folder of its run, reported and certified."""
    digest = add_release(site, "1.0.0")
    run = finished_run(site, digest, **changes)  # type: ignore[arg-type]
    found = read_run(site, run.run_id)
    write_report(site, found, pdf=False)
    certify_run(site, found, ENGINEER)
    return digest, found.folder


def _three(folder: Path) -> tuple[bytes, bytes, bytes]:
    return tuple((folder / n).read_bytes() for n in (RESULTS, REPORT, CERTIFICATE))  # type: ignore[return-value]


@pytest.mark.reg("VAL-1")
def test_a_pass_gates_the_release_in(site: Site) -> None:
    """The certificate of a run that met its criteria validates the release, and is on record."""
    digest, folder = _certified(site)
    raw = (folder / CERTIFICATE).read_bytes()
    stated, _ = decode_certificate(raw)
    assert stated.verdict == "pass"
    assert {s.name: s.verdict for s in stated.strata} == {
        "under-18": "insufficient", "75-and-over": "insufficient", "pregnant": "insufficient",
        "men": "pass", "women": "pass",
    }  # fmt: skip
    certify(site, digest, PHYSICIST, raw)
    assert state_of(site, digest) == "validated"
    kinds = [record.body["document"] for record in records(site, "governed")]
    assert kinds.count(ISSUED) == 1
    assert verify_files(*_three(folder), site.registry.trust()) == stated


@pytest.mark.reg("VAL-1")
@pytest.mark.parametrize(
    ("changes", "verdict", "code"),
    [
        ({"floor": 0.95}, "fail", "CERTIFICATE_FAILED"),
        ({"geometry": True}, "insufficient", "CERTIFICATE_INSUFFICIENT"),
    ],
)
def test_another_verdict_is_signed_too_and_refused(
    site: Site, changes: dict[str, float], verdict: str, code: str
) -> None:
    """A fail, or too little evidence, has its certificate, says so, and opens nothing."""
    digest, folder = _certified(site, **changes)
    raw = (folder / CERTIFICATE).read_bytes()
    stated, _ = decode_certificate(raw)
    assert stated.verdict == verdict
    with pytest.raises(RefusalError) as refused:
        certify(site, digest, PHYSICIST, raw)
    assert code in refused.value.reasons
    assert state_of(site, digest) == "registered"


def _flip(path: Path, marker: bytes) -> None:
    raw = bytearray(path.read_bytes())
    raw[raw.index(marker) + len(marker)] ^= 1
    path.write_bytes(bytes(raw))


@pytest.mark.reg("VAL-1")
@pytest.mark.parametrize(
    ("name", "marker", "online", "offline"),
    [
        (RESULTS, b'"dsc":0.', "RESULTS_CHANGED", "RESULTS_DIGEST"),
        (RESULTS, b'"outcome":"don', "RESULTS_MALFORMED", "RESULTS_MALFORMED"),
        (RESULTS, b'"metric_pack":"osteon', "RESULTS_CHANGED", "RESULTS_DIGEST"),
        (REPORT, b'"mean":0.', "REPORT_DIGEST", "REPORT_DIGEST"),
        (REPORT, b'"report_digest":"sha256:', "REPORT_DIGEST", "REPORT_DIGEST"),
        (REPORT, b'"median":', "RELEASE_SIGNATURE", "RELEASE_SIGNATURE"),
        (CERTIFICATE, b'"verdict":"pass","wher', "CERTIFICATE_MALFORMED", "CERTIFICATE_MALFORMED"),
        (CERTIFICATE, b'"report_digest":"sha256:', "CERTIFICATE_SIGNATURE",
         "CERTIFICATE_OTHER_REPORT"),
        (CERTIFICATE, b'"expires_at":"202', "CERTIFICATE_SIGNATURE", "RELEASE_SIGNATURE"),
    ],
)  # fmt: skip
def test_a_flipped_byte_is_refused_by_name(
    certified: Certified, name: str, marker: bytes, online: str, offline: str
) -> None:
    """Results, report and certificate: whichever byte changes, site and offline check refuse."""
    site, folder = certified.site, certified.folder
    _flip(folder / name, marker)
    try:
        with pytest.raises(SuiteError) as apart:
            verify_files(*_three(folder), site.registry.trust())
        with pytest.raises(SuiteError) as here:
            _take(certified, name)
    finally:
        _flip(folder / name, marker)
    assert offline in _codes(apart.value)
    assert online in _codes(here.value)
    assert state_of(site, certified.digest) == "registered"
    assert verify_files(*_three(folder), site.registry.trust()).verdict == "pass"


def _take(certified: Certified, name: str) -> None:
    """Certify again from changed files, or attach the changed certificate."""
    site, folder = certified.site, certified.folder
    if name == CERTIFICATE:
        certify(site, certified.digest, PHYSICIST, (folder / name).read_bytes())
    else:
        certify_run(site, read_run(site, folder.name), ENGINEER)


def _codes(error: SuiteError) -> tuple[str, ...]:
    return (error.code, *getattr(error, "reasons", ()))


@pytest.mark.reg("VAL-1")
@pytest.mark.reg("AIA-9.8")
def test_better_results_late_criteria_and_no_report_certify_nothing(site: Site) -> None:
    """What is not on record, criteria younger than the results, a missing report: each refused."""
    run = finished_run(site, add_release(site, "1.0.0"))
    folder = site.home.root / "validations" / run.run_id
    found = read_run(site, run.run_id)
    with pytest.raises(SuiteError, match="expected the report"):
        certify_run(site, found, ENGINEER)
    for person in (CLINICIAN, COMPLIANCE):
        with pytest.raises(RefusalError) as barred:
            certify_run(site, found, person)
        assert barred.value.reasons == ("ROLE_NOT_PERMITTED",)
    better = [
        replace(c, metrics={**c.metrics, "dsc": 0.99}) if "dsc" in c.metrics else c
        for c in run.cases
    ]
    write_files(site, replace(run, cases=tuple(better)))
    with pytest.raises(ReportTamperedError) as refused:
        read_run(site, folder.name)
    assert refused.value.reasons == ("RESULTS_CHANGED",)
    write_files(site, replace(run, evaluated_at=run.criteria_recorded_at - timedelta(minutes=1)))
    with pytest.raises(ReportTamperedError) as refused:
        read_run(site, folder.name)
    assert refused.value.reasons == ("CRITERIA_LATE",)


def test_a_key_of_another_purpose_does_not_count(certified: Certified) -> None:
    """A certificate by a trusted key for documents, or by one that left trust, is refused."""
    site, digest, folder = certified.site, certified.digest, certified.folder
    path = site.home.keys / "trust.json"
    trust = load_trust(path)
    for purpose, other in (("certificate", "report"), ("report", "certificate")):
        swapped = tuple(
            replace(key, purpose=other) if key.purpose == purpose else key for key in trust
        )
        with pytest.raises(SignatureError):
            verify_files(*_three(folder), swapped)
    store_trust(path, tuple(key for key in trust if key.purpose != "certificate"))
    try:
        with pytest.raises(RefusalError) as refused:
            certify(site, digest, PHYSICIST, (folder / CERTIFICATE).read_bytes())
    finally:
        store_trust(path, trust)
    assert refused.value.reasons == ("CERTIFICATE_KEY_UNTRUSTED",)


def test_the_report_again_changes_nothing(site: Site) -> None:
    """A second report of the run has the same digest and leaves no second record."""
    run = finished_run(site, add_release(site, "1.0.0"))
    found = read_run(site, run.run_id)
    first = write_report(site, found, pdf=False).document.digest
    count = len(records(site, "governed"))
    assert write_report(site, read_run(site, run.run_id), pdf=False).document.digest == first
    assert len(records(site, "governed")) == count
    pages = [
        (found.folder / f"report-{language}.html").read_text("utf-8") for language in ("en", "de")
    ]
    assert "Groups of patients" in pages[0]
    assert "Patientengruppen" in pages[1]
