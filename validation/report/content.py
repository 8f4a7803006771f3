"""The readable report: sections in the order in which an assessor asks.

    verdict, criteria, accuracy, case by case, volumes, groups, stated uncertainty, robustness,
    repeatability, explanations, failures, worst cases, what cannot be concluded, method, time,
    checklists

Every number comes from ``results`` or ``measured`` of the report document and keeps its interval
and n; nothing is computed here but places of points.

Read next: `content_cases.py` (single cases), `checklists.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from governance.report import (
    Block,
    Bullets,
    Cell,
    Code,
    Column,
    Facts,
    Forest,
    Interval,
    Language,
    Notice,
    Number,
    Paragraph,
    Picture,
    Report,
    Section,
    Status,
    Table,
    number_text,
)
from validation.report.checklists import checklist_sections
from validation.report.content_cases import cases, failures, volumes, worst
from validation.report.content_conditions import calibration, repeats, robustness
from validation.report.document import ReportDocument
from validation.report.explanations import explanation_blocks
from validation.report.figures import ALL
from validation.report.margins import margin_blocks
from validation.report.terms import Terms
from validation.report.words import TONES, roles, texts


@dataclass(frozen=True, slots=True)
class Made:
    """A report document with what it is printed with.

    Parameters
    ----------
    pictures : PNG of single cases by ``case/given``; empty where the run kept none.
    """

    document: ReportDocument
    pictures: Mapping[str, bytes]


def report_of(made: Made, language: Language) -> Report:
    """Return the whole report in one language."""
    results, t = made.document.results, texts(language)
    terms = Terms(results, t, language)
    verdict = str(results["verdict"])
    pictures = tuple(_pictures(made, terms))
    sections = (
        Section(t["s_verdict"], tuple(_verdict(terms)), key="verdict"),
        Section(t["s_criteria"], tuple(_criteria(made.document, terms)), key="criteria"),
        Section(t["s_figures"], tuple(_accuracy(terms)), key="accuracy"),
        Section(t["s_cases"], tuple(cases(terms)), key="cases"),
        Section(t["s_volumes"], tuple(volumes(terms)), key="volumes"),
        Section(t["s_groups"], tuple(_groups(terms)), key="groups"),
        Section(
            t["s_calibration"], (*calibration(terms), *margin_blocks(terms)), key="calibration"
        ),
        Section(t["s_robustness"], tuple(robustness(terms)), key="robustness"),
        Section(t["s_repeats"], tuple(repeats(terms)), key="repeatability"),
        Section(
            t["s_explanations"],
            tuple(explanation_blocks(made.document.measured.get("explanations", ()), t)),
            key="explanations",
        ),
        Section(t["s_failures"], tuple(failures(terms)), key="failures"),
        Section(t["s_worst"], (*worst(terms), *pictures), key="worst"),
        Section(t["s_limits"], tuple(_limits(terms)), key="limits"),
        Section(t["s_method"], tuple(_method(made.document, terms)), key="method"),
        Section(t["s_measured"], tuple(_measured(made.document, t)), key="measured"),
        Section(
            t["s_checklists"], (Paragraph(t["checklist_note"]),),
            checklist_sections(results, language), key="checklists",
        ),
    )  # fmt: skip
    number = terms.counts()
    counts = t["counts_phantoms" if number["shown"] else "counts"].format(**number)
    return Report(
        title=f"{results['plugin']} {results['version']}",
        kind=t["kind"],
        language=language,
        facts=(
            (t["release_digest"], Code(results["release_digest"])),
            (t["cohort"], f"{terms.cohort_name()}: {counts}"),
            (t["report_digest"], Code(made.document.digest)),
        ),
        sections=sections,
        standing=Status(t[f"standing_{verdict}"], TONES[verdict]),
    )


def _verdict(terms: Terms) -> Iterator[Block]:
    t, results = terms.t, terms.results
    verdict = str(results["verdict"])
    yield Facts((
        (t["verdict"], Status(t[verdict], TONES[verdict])),
        (t["purpose"], results["intended_purpose"]),
        (t["method"], t[results["method"]]),
        (t["metric_pack"], Code(results["metric_pack"])),
    ))  # fmt: skip
    not_met = [item for item in results["verdicts"] if item["verdict"] != "pass"]
    if not_met:
        yield Bullets(tuple(
            item["criterion"]
            + (f" [{item['stratum']}]" if item["stratum"] not in ("", ALL) else "")
            + f": {t[item['verdict']]}"
            + (f" ({item['reason']})" if item["reason"] else "")
            for item in not_met
        ))  # fmt: skip


def _criteria(document: ReportDocument, terms: Terms) -> Iterator[Block]:
    t = terms.t
    timed = {item["criterion"]: item for item in document.measured.get("verdicts", ())}
    rows = []
    for item in terms.results["verdicts"]:
        values = timed.get(item["criterion"], item)
        rows.append((
            item["criterion"], roles(item["given"]), terms.group(item["stratum"]),
            terms.title(item["metric"]), item["asked"], _found(values, terms),
            Status(t[item["verdict"]], TONES[item["verdict"]]), item["reason"] or "–",
        ))  # fmt: skip
    names = ("criterion", "given", "group", "metric", "asked", "found", "verdict", "reason")
    yield Table(
        t["s_criteria"], tuple(Column(t[name]) for name in names), tuple(rows), t["intervals"]
    )


def _found(item: Mapping[str, Any], terms: Terms) -> Cell:
    if item["value"] is None:
        return f"n = {item['n']}"
    digits = terms.digits(item["metric"])
    return Number(item["value"], digits, item["low"], item["high"], item["n"])


def _accuracy(terms: Terms) -> Iterator[Block]:
    t = terms.t
    for given in terms.inputs():
        found = [row for row in terms.figures(given) if row["stratum"] == ALL]
        rows = tuple(
            (
                terms.named(row["metric"]),
                terms.number(row, with_n=False),
                Number(row["n"], 0),
                Number(row["patients"], 0),
                Number(row["missing"], 0),
                Number(row["sd"], terms.digits(row["metric"])),
            )
            for row in found
        )
        names = ("metric", "mean", "n", "patients", "missing", "sd")
        yield Table(
            f"{t['s_figures']}: {roles(given)}", tuple(Column(t[name]) for name in names), rows,
            t["intervals"],
        )  # fmt: skip


def _groups(terms: Terms) -> Iterator[Block]:
    t, groups = terms.t, terms.results["groups"]
    for sentence in _insufficient(terms):
        yield Notice(sentence)
    yield Table(
        t["s_groups"],
        tuple(Column(t[name]) for name in ("group", "patients", "needed", "verdict", "reason")),
        tuple(
            (g["name"], Number(g["n"], 0), Number(g["needed"], 0),
             Status(t[g["verdict"]], TONES[g["verdict"]]), g["reason"] or "–")
            for g in groups
        ),
    )  # fmt: skip
    told = {g["name"] for g in groups if g["verdict"] != "insufficient"} | {ALL}
    for given in terms.inputs():
        rows = [r for r in terms.figures(given, terms.headline) if r["stratum"] in told]
        if len(rows) < 2:
            continue
        lines = tuple(
            Interval(
                terms.group(r["stratum"]), terms.number(r, with_n=True),
                emphasised=r["stratum"] == ALL,
            )
            for r in rows
        )  # fmt: skip
        title = terms.title(terms.headline)
        limit = terms.floor(given)
        label = "" if limit is None else number_text(Number(limit, 2), terms.language)
        yield Forest(
            t["forest"].format(title=title, given=roles(given)), terms.named(terms.headline),
            lines, limit, label,
        )  # fmt: skip


def _insufficient(terms: Terms) -> list[str]:
    """Return which groups have too few patients, and which enough and no decision."""
    barred = [g for g in terms.results["groups"] if g["verdict"] == "insufficient"]
    few = [g for g in barred if g["n"] < g["needed"]]
    sentences = []
    for key, groups in (
        ("insufficient_note", few),
        ("undecided_note", [g for g in barred if g not in few]),
    ):
        names = ", ".join(f"{g['name']} (n = {g['n']})" for g in groups)
        if names:
            sentences.append(terms.t[key].format(names=names))
    return sentences


def _limits(terms: Terms) -> Iterator[Block]:
    t, results = terms.t, terms.results
    sentences = [t["limit_reader"], t["limit_many"]]
    if results["method"] == "cross-fitted":
        sentences.insert(0, t["limit_cross"])
    if results["criteria"].get("post_hoc") == "yes":
        sentences.insert(0, t["limit_post_hoc"])
    if results["cohort"].get("seal") == "none":
        sentences.append(t["limit_seal"])
    if len(terms.sites()) == 1:
        ((site, patients),) = terms.sites().items()
        sentences.append(t["limit_sites"].format(site=site, patients=patients))
    sentences += _missing(terms)
    sentences += _insufficient(terms)
    yield Bullets(tuple(sentences))
    if results["gaps"]:
        yield Paragraph(t["gaps"])
        yield Bullets(tuple(results["gaps"]))


def _missing(terms: Terms) -> Iterator[str]:
    """Yield for each input which metrics rest on fewer cases than were judged."""
    found: dict[tuple[str, int, int], list[str]] = {}
    for row in terms.results["figures"]:
        if row["stratum"] == ALL and row["missing"]:
            key = (row["given"], row["missing"], row["missing"] + row["n"])
            found.setdefault(key, []).append(terms.title(row["metric"]))
    for (given, missing, every), titles in found.items():
        yield terms.t["limit_missing"].format(
            metric=", ".join(titles), given=roles(given), missing=missing, all=every
        )


def _method(document: ReportDocument, terms: Terms) -> Iterator[Block]:
    t, results, measured = terms.t, terms.results, document.measured
    facts: list[tuple[str, Cell]] = [
        (t["cohort"], terms.cohort_name()),
        (t["cohort_digest"], Code(results["cohort_digest"])),
        *((key.replace("_", " "), value) for key, value in results["cohort"].items()
          if key not in ("name", "version") and value),
        (t["sites"], ", ".join(f"{site}: {n}" for site, n in terms.sites().items())),
        (t["criteria_digest"], Code(results["criteria_digest"])),
        *((f"criteria: {key.replace('_', ' ')}", value)
          for key, value in results["criteria"].items() if value),
        (t["recorded"], _time(measured.get("criteria_recorded_at"))),
        (t["evaluated"], _time(measured.get("evaluated_at"))),
        (t["run"], Code(str(measured.get("run_id", "–")))),
        (t["seed"], Code(str(results["seed"]))),
        (t["cases_digest"], Code(results["cases_digest"])),
    ]  # fmt: skip
    yield Facts(tuple(facts))
    runtime = measured.get("runtime") or {}
    if runtime:
        yield Paragraph(f"{t['runtime']}:")
        yield Facts(tuple((key, str(value)) for key, value in sorted(runtime.items())))


def _measured(document: ReportDocument, t: Mapping[str, str]) -> Iterator[Block]:
    rows: list[tuple[Cell, ...]] = [
        (t[word], *(Number(found[key], 1) for key in ("median", "p95", "highest")),
         Number(found["n"], 0))
        for word, key_of in (("baseline_seconds", "baseline_seconds"), ("seconds", "seconds"),
                             ("memory", "peak_memory_mb"))
        if (found := document.measured.get(key_of, {"n": 0}))["n"]
    ]  # fmt: skip
    if not rows:
        yield Paragraph(t["no_measured"])
        return
    names = ("quantity", "median", "p95", "highest", "n")
    yield Table(
        t["s_measured"], tuple(Column(t[name]) for name in names), tuple(rows), t["measured_note"]
    )


def _pictures(made: Made, terms: Terms) -> Iterator[Block]:
    title = terms.title(terms.headline)
    shown = 0
    for row in terms.results["worst"]:
        png = made.pictures.get(f"{row['case']}/{row['given']}")
        if png is None:
            continue
        shown += 1
        number = Number(row["metrics"][terms.headline], terms.digits(terms.headline))
        value = number_text(number, terms.language)
        yield Picture(
            f"{row['case']}-{row['given'].replace('+', '-')}.png",
            terms.t["picture"].format(
                case=row["case"], given=roles(row["given"]), title=title, value=value
            ),
            terms.t["pictured"].format(title=title, value=value),
            png,
        )
    if not shown:
        yield Paragraph(terms.t["no_pictures"], small=True)


def _time(value: Any) -> str:
    return str(value or "–")[:16].replace("T", " ")


def section_keys(report: Report) -> Sequence[str]:
    """Return the keys of the sections that a pointer can name."""
    return [section.key for section in report.sections]
