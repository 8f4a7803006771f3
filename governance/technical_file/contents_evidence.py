"""Fields that come from measurements and tests: accuracy, verification, certificate.

Read next: `contents_office.py`.
"""

from __future__ import annotations

from typing import Any

from audit.errors import ConfigurationError
from governance.accuracy import KIND as ACCURACY
from governance.accuracy import (
    MINORS,
    Accuracy,
    Group,
    fits_weights,
    held_against,
    read_accuracy,
)
from governance.release import MANIFEST
from governance.risk_trace import EVIDENCE_KIND, read_evidence
from governance.technical_file.contents_release import metrics as criteria
from governance.technical_file.found import Answer, Found, Missing, Rule, needs
from governance.technical_file.sources import CERTIFICATE, CRITERIA, Sources


def accuracy_of(sources: Sources) -> Accuracy | Missing:
    """Return the accuracy of exactly this release, or why there is none."""
    document, manifest = sources.content(ACCURACY), sources.content(MANIFEST)
    if document is None or manifest is None:
        return Missing("no accuracy was recorded: `osteon technical-file record accuracy`")
    try:
        accuracy = read_accuracy(document)
    except ConfigurationError as error:
        return Missing(f"the recorded accuracy is malformed: {error}")
    if accuracy.release_digest != sources.release_digest or not fits_weights(accuracy, manifest):
        return Missing("the recorded accuracy is of another release or of other weights")
    return accuracy


@needs(CRITERIA)
def metrics(sources: Sources) -> Answer:
    """Return the criteria fixed beforehand, each with what was measured and whether it is met."""
    answer, measured = criteria(sources), accuracy_of(sources)
    if not isinstance(answer, Found) or isinstance(measured, Missing):
        return answer
    rows = []
    written = sources.content(CRITERIA)["criteria"]
    for row, criterion in zip(answer.value, written, strict=True):
        judged = held_against(measured, criterion)
        verdict = "see the validation report"
        if judged is not None:
            verdict = "met" if judged[1] else "MISSED"
        rows.append(row | {"measured": judged[0].value if judged else "–", "verdict": verdict})
    return Found(rows, (CRITERIA, ACCURACY))


def test_data(sources: Sources) -> Answer:
    """Return on what was measured, and the digest of the report."""
    accuracy = accuracy_of(sources)
    if isinstance(accuracy, Missing):
        return accuracy
    value = {
        "patients": max(group.n for group in accuracy.overall()),
        "method": accuracy.method,
        "interval": accuracy.interval,
        "smallest_group": accuracy.smallest_group,
        "report_sha256": accuracy.report_sha256,
    }
    return Found(value, (ACCURACY,))


def accuracy_overall(sources: Sources) -> Answer:
    """Return the accuracy over all patients, condition by condition."""
    accuracy = accuracy_of(sources)
    if isinstance(accuracy, Missing):
        return accuracy
    return Found(figures(accuracy, accuracy.overall()), (ACCURACY,))


def accuracy_by_group(sources: Sources) -> Answer:
    """Return the accuracy of every group; missing unless persons were looked at."""
    accuracy = accuracy_of(sources)
    if isinstance(accuracy, Missing):
        return accuracy
    if not accuracy.covers_persons():
        return Missing(f"no groups of persons were measured, or not the group {MINORS!r}")
    return Found(figures(accuracy, accuracy.by_group()), (ACCURACY,))


def discriminatory_impacts(sources: Sources) -> Answer:
    """Return the figures of groups of persons; too few stand as insufficient."""
    answer = accuracy_by_group(sources)
    accuracy = accuracy_of(sources)
    if not isinstance(answer, Found) or isinstance(accuracy, Missing):
        return answer
    persons = tuple(group for group in accuracy.groups if group.about == "person")
    return Found(figures(accuracy, persons), (ACCURACY,))


def figures(accuracy: Accuracy, groups: tuple[Group, ...]) -> list[dict[str, Any]]:
    """Return one row for each figure, unrounded; an insufficient group has one row without.

    ``digits`` and ``signed`` say how the figure is printed, here as in every other document.
    """
    rows = []
    for group in groups:
        head = {"given": group.given, "group": group.name, "about": group.about, "n": group.n}
        if group.insufficient:
            rows.append({**head, "verdict": "insufficient"})
            continue
        for metric in accuracy.metrics:
            figure = group.figures.get(metric.key)
            if figure is not None:
                rows.append(
                    {
                        **head,
                        "metric": metric.key,
                        "title": metric.title,
                        "unit": metric.unit,
                        "digits": metric.digits,
                        "signed": metric.signed,
                        "value": figure.value,
                        "low": figure.low,
                        "high": figure.high,
                        "measured_n": figure.n,
                    }
                )
    return rows


@needs(EVIDENCE_KIND)
def test_logs(sources: Sources) -> Answer:
    """Return how the recorded tests ended, and the digest of their log."""
    evidence = read_evidence(sources.content(EVIDENCE_KIND))
    ended = list(evidence.outcomes.values())
    value = {
        "tests": len(ended),
        "passed": ended.count("passed"),
        "failed": ended.count("failed"),
        "skipped": ended.count("skipped"),
        "log_sha256": evidence.junit_sha256,
        "ran_on_other_code": list(evidence.other_code),
    }
    return Found(value, (EVIDENCE_KIND,))


@needs(CERTIFICATE)
def signed_reports(sources: Sources) -> Answer:
    """Return the certificate of the validation harness; its own gate judges it."""
    certificate = sources.content(CERTIFICATE)
    keys = ("certificate_id", "verdict", "method", "cohort_digest", "report_digest", "issued_at")
    found = certificate.get("certificate", certificate)
    if found.get("release_digest") != sources.release_digest:
        return Missing("the attached certificate is of another release")
    value = {key: found[key] for key in keys if key in found}
    signatures = certificate.get("signatures", ())
    value["signed_by"] = [row.get("key_id", "") for row in signatures]
    return Found(value, (CERTIFICATE,))


RULES: dict[str, Rule] = {
    "p2.g.metrics": metrics,
    "p2.g.test_data": test_data,
    "p2.g.discriminatory_impacts": discriminatory_impacts,
    "p2.g.test_logs": test_logs,
    "p2.g.signed_reports": signed_reports,
    "p3.accuracy_overall": accuracy_overall,
    "p3.accuracy_by_group": accuracy_by_group,
}
