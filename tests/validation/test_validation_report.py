"""The validation report: the same run has the same digest, every number its n and interval."""

import math
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.documents.report_html import report_html
from audit import canonical
from audit.errors import SuiteError
from governance.report import (
    Forest,
    Language,
    Number,
    Picture,
    Plot,
    Report,
    Table,
    every_section,
    numbers,
)
from tests.simulators.validation_runs import STARTED, TERMS, results, subject
from validation.harness.plan import LABORATORY, PHANTOM
from validation.harness.results import CaseResult, Condition, RunResults
from validation.report import findings
from validation.report.checklists import answers, checklists
from validation.report.content import Made, report_of
from validation.report.document import ReportDocument, ReportTamperedError, decode, encode
from validation.report.figures import moments
from validation.report.summary import measured, summarise
from validation.report.words import FILE, texts
from validation.statistics.resampling import of_mean

GENERAL = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X"]
PNG = b"\x89PNG\r\n\x1a\n"


def _document(run: RunResults, **changes: Any) -> ReportDocument:
    about = subject(run, **changes)
    return ReportDocument(summarise(run, about, TERMS, of_mean), measured(run, about.verdicts))


def _report(language: Language = "en", pictures: dict[str, bytes] | None = None) -> Report:
    return report_of(Made(_document(results()), pictures or {}), language)


@pytest.mark.reg("VAL-1")
def test_the_same_run_gives_the_same_digest() -> None:
    """Another hour, machine, run id and order of cases change nothing inside the digest."""
    run = results()
    again = replace(
        results(at=STARTED + timedelta(days=3)), run_id="c" * 64, cases=run.cases[::-1],
        runtime={"python": "3.11", "machine": "other"},
        measured=tuple(replace(item, seconds=9.0) for item in run.measured),
    )  # fmt: skip
    one, other = _document(run), _document(again)
    assert one.digest == other.digest
    assert one.measured != other.measured
    assert decode(encode(one)) == ReportDocument(
        canonical.decode(canonical.encode(one.results)),
        canonical.decode(canonical.encode(one.measured)),
    )


@pytest.mark.reg("VAL-1")
def test_another_result_gives_another_digest() -> None:
    """One case that came out otherwise in the sixth place, or another verdict, is seen."""
    run = results()
    first = run.cases[0]
    changed = replace(first, metrics={**first.metrics, "hd95_mm": first.metrics["hd95_mm"] + 2e-6})
    other = replace(run, cases=(changed, *run.cases[1:]))
    digests = {
        _document(run).digest,
        _document(other).digest,
        _document(run, verdict="fail").digest,
    }
    assert len(digests) == 3
    swapped = replace(first, output_digest="sha256:" + "f" * 64)
    assert _document(replace(run, cases=(swapped, *run.cases[1:]))).digest != _document(run).digest


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_flipped_byte_in_the_report_is_refused(data: st.DataObject) -> None:
    """Whatever byte of the results changes, the report is refused by name."""
    raw = bytearray(RAW)
    start, end = raw.index(b'"results"'), raw.index(b'"schema"')
    place = data.draw(st.integers(start, end - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ReportTamperedError) as refused:
        decode(bytes(raw))
    assert refused.value.reasons[0] in ("REPORT_DIGEST", "REPORT_MALFORMED")


RAW = encode(_document(results(12)))


def test_every_number_has_its_n_and_every_estimate_its_interval() -> None:
    """A mean, a share, a change, a bias stands with interval and n in the same row."""
    report = _report()
    for section in every_section(report):
        for block in section.blocks:
            if isinstance(block, Forest):
                for row in block.rows:
                    assert row.number.n is not None
                    assert row.number.low is not None
            if not isinstance(block, Table):
                continue
            titles = [column.title for column in block.columns]
            for row in block.rows:
                for title, cell in zip(titles, row, strict=True):
                    estimated = "interval" in title or title in ("Bias", "Lower limit")
                    if estimated:
                        assert isinstance(cell, Number), title
                        assert cell.low is not None, title
                        assert titles.count("n") == 1, titles
    assert sum(1 for _ in numbers(report)) > 100


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_report_has_its_sections_and_figures(language: Language) -> None:
    """Per-case plot, Bland-Altman, calibration, forest, curves and worst cases are there."""
    pictures = {f"{r['case']}/{r['given']}": PNG for r in _document(results()).results["worst"]}
    report = _report(language, pictures)
    keys = [section.key for section in report.sections]
    assert keys[:3] == ["verdict", "criteria", "accuracy"]
    assert len(keys) == len(set(keys)) == 16
    for key, kind, at_least in (
        ("cases", Plot, 2), ("volumes", Plot, 2), ("groups", Forest, 2), ("calibration", Plot, 2),
        ("robustness", Plot, 1), ("worst", Picture, 10),
    ):  # fmt: skip
        section = next(item for item in report.sections if item.key == key)
        assert sum(isinstance(block, kind) for block in section.blocks) >= at_least, key
    for section in report.sections:
        for block in section.blocks:
            if isinstance(block, (Plot, Picture)):
                assert block.described
    html = report_html(report)
    assert texts(language)["standing_pass"] in html
    other = texts("de" if language == "en" else "en")
    assert other["s_limits"] not in html


@pytest.mark.reg("AIA-9.9")
@pytest.mark.reg("AIA-10.2fg")
def test_a_group_of_three_is_named_insufficient_and_never_drawn() -> None:
    """Three minors have a name and an n under "cannot be concluded", and no point in a forest."""
    report = _report()
    forests = [b for s in report.sections for b in s.blocks if isinstance(b, Forest)]
    assert all(row.label != "under-18" for forest in forests for row in forest.rows)
    limits = next(s for s in report.sections if s.key == "limits")
    assert any("under-18 (n = 3)" in str(block) for block in limits.blocks)
    assert any("tumour_site: rib" in str(block) for block in limits.blocks)


def test_a_group_that_no_criterion_decided_is_not_called_small() -> None:
    """Enough patients and no decision is another reason than too few patients."""
    run = results()
    groups = tuple(
        replace(group, n=20, verdict="insufficient", reason="NOT_JUDGED_OR_UNDECIDED")
        if group.name == "men"
        else group
        for group in subject(run).groups
    )
    report = report_of(Made(_document(run, groups=groups), {}), "en")
    said = [str(b) for s in report.sections if s.key in ("groups", "limits") for b in s.blocks]
    undecided = [text for text in said if "no criterion decided on them: men (n = 20)" in text]
    assert len(undecided) == 2
    assert not any("Too few patients for a statement: under-18 (n = 3), men" in t for t in said)
    assert sum("Too few patients for a statement: under-18 (n = 3)." in t for t in said) == 2


def test_words_are_there_in_both_languages() -> None:
    """No text is empty, no key is used that has no text, none is left over."""
    english, german = texts("en"), texts("de")
    assert all((*english.values(), *german.values()))
    code = "".join(path.read_text("utf-8") for path in FILE.parent.glob("*.py"))
    left = [
        key
        for key in english
        if not re.search(rf"['\"]{key}['\"]", code)
        and not key.startswith(("s_", "standing", "held"))
    ]
    assert not left


@pytest.mark.reg("RPT-1")
def test_the_checklists_are_complete() -> None:
    """Every item of the published lists points to a section, or says why not."""
    numbered = {item["key"]: [row["n"] for row in item["items"]] for item in checklists()}
    assert numbered["claim"] == [str(n) for n in range(1, 45)]
    tripod = [row.rstrip("abcdefg") for row in numbered["tripod-ai"]]
    assert list(dict.fromkeys(tripod)) == [str(n) for n in range(1, 28)]
    assert len(tripod) == 52
    decide = numbered["decide-ai"]
    assert [n for n in decide if n.isupper()] == [
        "I",
        "II",
        "III",
        "IV",
        "V",
        "VI",
        "VII",
        "VIII",
        "IX",
        "X",
    ]
    own = [n for n in decide if not n.isupper()]
    assert list(dict.fromkeys(n.rstrip("abc") for n in own)) == [str(n) for n in range(1, 18)]
    assert len(own) == 28
    keys = {section.key for section in _report().sections} | {"card"}
    for item in checklists():
        assert len(set(numbered[item["key"]])) == len(item["items"])
        for row in item["items"]:
            assert len({"at", "na", "open"} & set(row)) == 1
            assert set(row.get("at", ())) <= keys, row
    assert all(all(found.values()) for found in answers("de").values())


def test_bland_altman_by_hand() -> None:
    """Differences −1, 0, 1 ml: no bias, limits ±1.96, intervals by t with two degrees."""
    run = results(3)
    shift = {"case-000": -1.0, "case-001": 0.0, "case-002": 1.0}
    cases = tuple(
        replace(c, metrics={"reference_ml": 100.0, "volume_ml": 100.0 + shift[c.case_id]})
        for c in run.cases
    )
    (row, _) = findings.volumes(cases)
    assert (row["bias"], row["lower"], row["upper"], row["n"]) == (0.0, -1.96, 1.96, 3)
    assert row["bias_high"] == pytest.approx(4.302653 / math.sqrt(3), abs=1e-5)
    far = 4.302653 * math.sqrt(1 / 3 + 1.96**2 / 4)
    assert row["upper_high"] == pytest.approx(1.96 + far, abs=1e-5)


def test_a_paired_change_is_against_the_same_case() -> None:
    """Noise that takes a tenth from every case changes the mean by a tenth, without spread."""
    rows = findings.sweeps(results().cases, ["dsc"], 1, of_mean)
    (strong,) = [r for r in rows if r["level"] == 60.0 and r["given"] == "ct+pet"]
    assert strong["change"] == pytest.approx(-0.1)
    assert (strong["change_low"], strong["change_high"]) == pytest.approx((-0.1, -0.1))
    assert (strong["pairs"], strong["answered"], strong["cases"]) == (29, 29, 30)


def test_missing_input_is_compared_with_the_whole_input() -> None:
    """Without PET the same case is compared with itself with PET."""
    run = results()
    lost = [
        replace(c, condition=replace(c.condition, name="missing-pet", given="ct"))
        for c in run.cases
        if c.condition.name == "baseline" and c.condition.repeat == 0 and c.condition.given == "ct"
    ]
    plain = [c for c in run.cases if c.condition.given == "ct+pet"]
    baseline = [c for c in run.cases if c.condition.name == "baseline"]
    for others in (plain, baseline):  # whether or not the harness also ran CT alone
        rows = findings.sweeps([*others, *lost], ["dsc"], 1, of_mean)
        (row,) = [row for row in rows if row["sweep"] == "missing-pet"]
        assert row["change"] == pytest.approx(-0.15, abs=0.02)


def test_failures_are_counted_by_code_and_outcome() -> None:
    """The one failure has its code and condition; a figure behind a code is not a new code."""
    rows = findings.reasons(results().cases)
    failed = [row for row in rows if row["outcome"] == "failed"]
    assert {(r["code"], r["level"], r["count"]) for r in failed} == {("PLUGIN_TIMEOUT", 60.0, 1)}
    assert {r["code"] for r in rows} == {"PLUGIN_TIMEOUT", "PREDICTED_DSC"}


def test_an_answer_that_changes_on_repeat_is_counted() -> None:
    """One of thirty repeats with other bits is one, with its exact interval."""
    run = results()
    place = next(i for i, c in enumerate(run.cases) if c.condition.repeat)
    odd = replace(run.cases[place], output_digest="sha256:" + "0" * 63 + "f")
    rows = findings.repeats((*run.cases[:place], odd, *run.cases[place + 1 :]))
    assert [row["count"] for row in rows] in ([29, 30], [30, 29])
    assert all(row["low"] < row["share"] for row in rows)


def test_cases_of_one_patient_widen_the_error() -> None:
    """Two equal cases of each patient have the error of the patients alone."""
    values, groups = [0.7, 0.8, 0.9], ["a", "b", "c"]
    assert moments(values * 2, groups * 2)[2] == pytest.approx(moments(values, groups)[2])
    low, high = of_mean(values * 2, groups * 2, np.random.default_rng(1))
    assert of_mean(values, groups, np.random.default_rng(1)) == pytest.approx((low, high))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_an_interval_holds_its_mean(values: list[float]) -> None:
    """For any values the interval has the mean inside, and is finite."""
    run = results(len(values))
    cases = tuple(
        replace(case, metrics={"dsc": values[int(case.case_id[-3:])]}) for case in run.cases
    )
    for row in _document(replace(run, cases=cases)).results["figures"]:
        assert row["low"] <= row["mean"] <= row["high"]


def test_a_run_without_sweeps_or_values_can_be_told() -> None:
    """No sweep, no repeat, no metric at all: the report says so instead of failing."""
    run = results(4)
    bare: tuple[CaseResult, ...] = tuple(
        replace(c, metrics={}, outcome="refused", reasons=("TRUNCATED",))
        for c in run.cases
        if c.condition.name == "baseline" and not c.condition.repeat
    )
    made = Made(_document(replace(run, cases=bare, measured=())), {})
    html = report_html(report_of(made, "en"))
    assert texts("en")["no_sweeps"] in html
    assert "TRUNCATED" in html


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"schema":"x"}', b"null"])
def test_what_is_no_report_is_refused(raw: bytes) -> None:
    """Bytes of another kind are refused as such."""
    with pytest.raises(SuiteError):
        decode(raw)


def test_phantoms_are_no_patients_and_no_site() -> None:
    """Their presentations are counted apart, and one site stays one site in what is not shown."""
    run = results(8)
    condition = Condition(PHANTOM, 0.0, "ct+pet")
    shown = tuple(
        CaseResult(f"phantom-{n}-{side}", f"phantom-{n}", LABORATORY, (),
                   replace(condition, level=float(n)), "done", (), {"centroid_error_row_voxels": 0})
        for n in range(3)
        for side in ("hfs", "ffs")
    )  # fmt: skip
    document = _document(replace(run, cases=(*run.cases, *shown)))
    html = report_html(report_of(Made(document, {}), "en"))
    assert "8 cases of 8 patients and 6 presentations of 3 phantoms" in html
    assert "All 8 patients come from one site (site-a)" in html
    assert f"{LABORATORY}: " not in html
    assert html.count(f">{PHANTOM}<") == 1


@pytest.mark.parametrize(
    ("sweep", "levels", "unchanged", "line"),
    [
        ("noise", (20.0, 40.0), [0.0, 20.0, 40.0], False),
        ("intensity-scale", (0.95, 1.05), [0.95, 1.0, 1.05], False),
        ("slice-thickness", (5.0, 6.0), [5.0, 6.0], True),
    ],
)
def test_a_sweep_begins_where_nothing_changes(
    sweep: str, levels: tuple[float, ...], unchanged: list[float], line: bool
) -> None:
    """The unchanged input stands at the level that changes nothing, or is a line of its own."""
    run = results(8)
    cases = [
        replace(c, condition=replace(c.condition, name=sweep, level=levels[c.condition.level > 20]))
        if c.condition.name == "noise"
        else c
        for c in run.cases
    ]
    report = report_of(Made(_document(replace(run, cases=tuple(cases))), {}), "en")
    (section,) = [item for item in report.sections if item.key == "robustness"]
    (plot,) = [block for block in section.blocks if isinstance(block, Plot)]
    assert [[x for x, _ in series.points] for series in plot.series] == [unchanged, unchanged]
    assert bool(plot.limits) is line
