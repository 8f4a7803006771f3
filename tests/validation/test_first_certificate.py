"""The first certificate verifies offline, says fail, and opens no gate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from governance.release import digest_of
from governance.signing import load_trust
from validation.cohort.reading import decode as read_cohort
from validation.criteria.judging import judge
from validation.criteria.reading import read_criteria
from validation.criteria.verdict import strata_verdicts, verdict_of
from validation.harness.results import decode
from validation.report.document import ReportDocument, ReportTamperedError
from validation.report.issuing import verify_files
from validation.report.metric_terms import MEASURED
from validation.report.subject import groups_of, headline_of, verdicts_of
from validation.report.summary import Subject, summarise
from validation.statistics.resampling import of_mean

FOLDER = Path("validation/first/contouring-0.1.1")
CRITERIA = Path("validation/first/contouring-criteria.json")
MANIFEST = Path("plugins/contouring/releases/0.1.1/manifest.json")
FILES = ("results.json", "report.json", "certificate.json")


@pytest.mark.reg("VAL-1")
def test_it_verifies_with_the_files_alone() -> None:
    """Digests and signatures of three files and the keys; it is about the published release."""
    raw = [(FOLDER / name).read_bytes() for name in FILES]
    certificate = verify_files(raw[0], raw[1], raw[2], load_trust(FOLDER / "trust.json"))
    assert certificate.verdict == "fail"
    assert certificate.method == "cross-fitted"
    manifest = json.loads(MANIFEST.read_text())
    assert (manifest["plugin"], manifest["version"]) == ("contouring", "0.1.1")


@pytest.mark.reg("VAL-1")
@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "0.5.0"])
def test_the_certificates_of_dose_verify_with_their_files_alone(version: str) -> None:
    """Each is about its published release, and each says fail."""
    folder = FOLDER.with_name(f"dose-{version}")
    raw = [(folder / name).read_bytes() for name in FILES]
    certificate = verify_files(raw[0], raw[1], raw[2], load_trust(folder / "trust.json"))
    manifest = Path(f"plugins/dose/releases/{version}/manifest.json").read_bytes()
    assert certificate.release_digest == digest_of(manifest)
    assert (certificate.verdict, certificate.method) == ("fail", "held-out")


def test_a_flipped_result_is_found() -> None:
    """One patient's DSC raised: the three files no longer belong together."""
    raw = [(FOLDER / name).read_bytes() for name in FILES]
    changed = raw[0].replace(b'"dsc":0.8', b'"dsc":0.9', 1)
    assert changed != raw[0]
    with pytest.raises(ReportTamperedError):
        verify_files(changed, raw[1], raw[2], load_trust(FOLDER / "trust.json"))


@pytest.mark.reg("VAL-1")
def test_the_report_follows_from_the_results() -> None:
    """Judged again by the criteria, the results give the report's values to the last digit.

    The machine's times and memory stand in no file here; the two verdicts about them are taken
    over.
    """
    results = decode((FOLDER / "results.json").read_bytes())
    report = json.loads((FOLDER / "report.json").read_text())
    criteria = read_criteria(CRITERIA.read_bytes())
    cohort = read_cohort((FOLDER / "cohort.json").read_bytes())
    manifest = json.loads(MANIFEST.read_text())
    judgements = judge(criteria, results, None, np.random.default_rng(results.seed))
    strata = strata_verdicts(criteria, results, judgements, cohort.strata)
    stated = report["results"]
    subject = Subject(
        plugin=manifest["plugin"],
        version=manifest["version"],
        intended_purpose=manifest["intended_purpose"],
        cohort=stated["cohort"],
        headline=headline_of(criteria),
        verdict=verdict_of(judgements),
        verdicts=verdicts_of(criteria, judgements),
        groups=groups_of(criteria, strata, cohort.strata),
        gaps=tuple(stated["gaps"]),
        criteria=stated["criteria"],
    )
    made = json.loads(json.dumps(summarise(results, subject, MEASURED, of_mean)))
    timed = {item["criterion"]: item for item in stated["verdicts"] if item["timed"]}
    assert sorted(timed) == ["inference-time", "memory"]
    made["verdicts"] = [timed.get(item["criterion"], item) for item in made["verdicts"]]
    assert ReportDocument(made, {}).digest == report["report_digest"]
