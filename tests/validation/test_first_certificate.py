"""The first certificate verifies offline, says fail, and opens no gate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from governance.signing import load_trust
from validation.harness.results import decode
from validation.report.document import ReportTamperedError
from validation.report.intervals import of_mean
from validation.report.issuing import verify_files
from validation.report.margins import margins

FOLDER = Path("validation/first/contouring-0.1.1")
FILES = ("results.json", "report.json", "certificate.json")


@pytest.mark.reg("VAL-1")
def test_it_verifies_with_the_files_alone() -> None:
    """Digests and signatures of three files and the keys; it is about the published release."""
    raw = [(FOLDER / name).read_bytes() for name in FILES]
    certificate = verify_files(raw[0], raw[1], raw[2], load_trust(FOLDER / "trust.json"))
    assert certificate.verdict == "fail"
    assert certificate.method == "cross-fitted"
    manifest = json.loads(Path("plugins/contouring/releases/0.1.1/manifest.json").read_text())
    assert (manifest["plugin"], manifest["version"]) == ("contouring", "0.1.1")


def test_a_flipped_result_is_found() -> None:
    """One patient's DSC raised: the three files no longer belong together."""
    raw = [(FOLDER / name).read_bytes() for name in FILES]
    changed = raw[0].replace(b'"dsc":0.8', b'"dsc":0.9', 1)
    assert changed != raw[0]
    with pytest.raises(ReportTamperedError):
        verify_files(changed, raw[1], raw[2], load_trust(FOLDER / "trust.json"))


def test_the_report_follows_from_the_results() -> None:
    """Margins made again from the results are those of the report."""
    results = decode((FOLDER / "results.json").read_bytes())
    report = json.loads((FOLDER / "report.json").read_text())
    assert margins(results.cases, results.seed, of_mean) == report["results"]["margins"]
