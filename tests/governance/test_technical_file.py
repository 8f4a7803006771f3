"""The technical file: every field from its source or MISSING, nothing invented, stale when old."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import ConfigurationError
from governance import accuracy, classification, declaration, provider, risk, risk_trace
from governance.sealed import seal
from governance.technical_file.bundle import pack_bundle, record_of, stale_sources
from governance.technical_file.card_text import items, part, parts
from governance.technical_file.fields import BY_PATH, FIELDS, SUBGROUPS
from governance.technical_file.file import build, encode
from governance.technical_file.file_report import file_report
from governance.technical_file.indexes import MDR_SECTIONS, index_aia, index_mdr, point_counts
from governance.technical_file.sources import (
    ACKNOWLEDGED,
    MONITORING,
    OVERSEERS,
    PLAN,
    nothing,
)
from governance.technical_file.statements import KIND as STATEMENT
from governance.technical_file.statements import name_of, sign_statement, state
from tests.simulators.papers import (
    CARD,
    NOW,
    OTHER_SEALER,
    PLUGIN,
    SEALER,
    TODAY,
    TRUST,
    Papers,
    classified,
    complete,
    measured,
    small_release,
    sources_of,
)

RELEASE = small_release()
COMPLETE = complete(RELEASE)
SOURCES = sources_of(RELEASE, COMPLETE)
FILE = build(SOURCES, TRUST)


def _missing(papers: Papers, **stated: Any) -> set[str]:
    return set(build(sources_of(RELEASE, papers, **stated), TRUST).missing())


@pytest.mark.reg("AIA-11.1")
def test_an_empty_site_gives_hundred_percent_missing() -> None:
    """Without any source every field is missing, with a reason, and has no value and no author."""
    file = build(nothing(TODAY), TRUST)
    assert file.counts() == {"complete": 0, "n/a": 0, "missing": len(FIELDS)}
    for item in file.fields:
        assert (item.value, item.author, item.signed_at, item.source_sha256) == (None, "", "", "")
        assert item.reason
    assert file_report(file, "en").standing.tone == "bad"


@pytest.mark.reg("AIA-11.1")
def test_with_every_source_nothing_is_missing() -> None:
    """A complete set of documents gives a complete file; each field names source and author."""
    assert FILE.missing() == ()
    for path, entry in encode(FILE)["fields"].items():
        assert entry["status"] in ("complete", "n/a"), path
        assert entry["source_sha256"].startswith("sha256:"), path
        assert entry["author"], path
        assert bool(entry["reason"]) == (entry["status"] == "n/a"), path
        signed = BY_PATH[path].gen != "A"
        assert bool(entry["signed_at"]) == signed, path


TAKEN = [
    ((provider.PROVIDER, provider.SITE), {"p1.a.provider", "p1.h.ifu_ref", "mdr.udi"}),
    (
        (risk.KIND, PLUGIN),
        {"p1.h.ifu_ref", "p3.unintended_outcomes", "p3.risk_sources", "p3.oversight_measures",
         "p5.rms"},
    ),
    (
        (accuracy.KIND, RELEASE.digest),
        {"p1.h.ifu_ref", "p2.g.test_data", "p2.g.discriminatory_impacts", "p3.accuracy_overall",
         SUBGROUPS},
    ),
    ((risk_trace.EVIDENCE_KIND, RELEASE.digest), {"p2.g.test_logs"}),
    ((classification.KIND, PLUGIN), {"classification"}),
    ((declaration.KIND, RELEASE.digest), {"p8.eu_doc"}),
    ((provider.QMS, provider.SITE), {"qms.map"}),
    ((provider.PLACING, PLUGIN), {"retention.until"}),
    (
        (provider.STANDARDS, provider.SITE),
        {"p7.standards"},
    ),
    ((MONITORING, PLUGIN), {"p9.pmm_plan", "p9.pmm_system"}),
    ((OVERSEERS, PLUGIN), {"p1.h.ifu_ref", "p3.oversight_measures"}),
    (
        (PLAN, PLUGIN),
        {"p1.h.ifu_ref", "p2.f.predetermined_changes", "p2.f.continuous_compliance_solutions"},
    ),
    (
        (STATEMENT, f"{RELEASE.digest}/p2.h.cybersecurity"),
        {"p1.h.ifu_ref", "p2.h.cybersecurity"},
    ),
]  # fmt: skip


@pytest.mark.reg("AIA-11.1")
@pytest.mark.parametrize(("taken", "wanted"), TAKEN, ids=[kind for (kind, _), _ in TAKEN])
def test_a_source_that_is_gone_leaves_its_fields_missing(
    taken: tuple[str, str], wanted: set[str]
) -> None:
    """Each document feeds these fields and no other; without it they print MISSING."""
    assert _missing(COMPLETE.without(*taken)) == wanted


@pytest.mark.reg("AIA-10.2fg")
def test_accuracy_without_groups_of_persons_is_a_gap_of_its_own() -> None:
    """Overall accuracy stands, and the accuracy for groups of persons is missing."""
    groups = [g for g in measured(RELEASE)["groups"] if g["about"] in ("all", "finding")]
    papers = COMPLETE.copied()
    papers.put(accuracy.KIND, RELEASE.digest, measured(RELEASE, groups=groups))
    assert _missing(papers) == {SUBGROUPS, "p2.g.discriminatory_impacts", "p1.h.ifu_ref"}


@pytest.mark.parametrize("change", [{"release_digest": "sha256:1"}, {"weights": ["sha256:1"]}])
def test_accuracy_of_another_release_counts_for_nothing(change: dict[str, Any]) -> None:
    """Figures of other bytes are no figures of this release."""
    papers = COMPLETE.copied()
    papers.put(accuracy.KIND, RELEASE.digest, measured(RELEASE, **change))
    assert {"p3.accuracy_overall", SUBGROUPS} <= _missing(papers)


def test_malformed_sources_are_gaps_and_no_crash() -> None:
    """Whatever a document holds, the file is built, and the field says what is wrong."""
    papers = COMPLETE.copied()
    for kind, name in list(papers.rows):
        if kind != STATEMENT:
            papers.put(kind, name, {"schema": 7, "plan": "no", "overseers": 3})
    missing = set(build(sources_of(RELEASE, papers), TRUST).missing())
    generated = {rule.path for rule in FIELDS if rule.gen == "A"}
    of_release = {path for path in generated if path.startswith(("p1.a.v", "p1.a.prev", "p1.b"))}
    assert {"p5.rms", "p1.a.provider", "classification", "p8.eu_doc", "qms.map"} <= missing
    assert {"p3.oversight_measures", "p9.pmm_system", "p2.f.predetermined_changes"} <= missing
    assert not of_release & missing


def test_an_edited_act_is_no_act() -> None:
    """Classification and declaration fill nothing once a word of them was changed."""
    papers = COMPLETE.copied()
    for kind, name in ((classification.KIND, PLUGIN), (declaration.KIND, RELEASE.digest)):
        papers.put(kind, name, dict(papers.rows[(kind, name)][-1].content) | {"author": "eve"})
    assert _missing(papers) == {"classification", "p8.eu_doc"}


@pytest.mark.reg("AIA-11.1")
def test_only_the_signed_act_fills_point_eight() -> None:
    """No statement and no draft can stand for the declaration."""
    with pytest.raises(ConfigurationError):
        state("p8.eu_doc", "we declare", RELEASE.digest, ("anna", "approver"))
    forged = {"field": "p8.eu_doc", "release_digest": RELEASE.digest, "text": "x"}
    papers = COMPLETE.without(declaration.KIND, RELEASE.digest)
    papers.put(STATEMENT, f"{RELEASE.digest}/p8.eu_doc", seal(forged, SEALER, NOW))
    assert _missing(papers) == {"p8.eu_doc"}


def test_in_house_devices_have_no_declaration() -> None:
    """A device of one health institution has none, and the file says why (MDR Art. 5(5))."""
    papers = COMPLETE.without(declaration.KIND, RELEASE.digest)
    record = seal(classified(route="in_house"), SEALER, NOW)
    papers.put(classification.KIND, PLUGIN, record)
    item = build(sources_of(RELEASE, papers), TRUST).field("p8.eu_doc")
    assert (item.status, item.value) == ("n/a", None)
    assert "5(5)" in item.reason


def test_expired_documents_are_gaps() -> None:
    """A classification or a quality map past its day no longer fills its field."""
    later = date(2028, 1, 1)
    file = build(sources_of(RELEASE, COMPLETE, on=later), TRUST)
    assert set(file.missing()) == {"classification", "qms.map"}


PATHS = st.sampled_from([rule.path for rule in FIELDS if rule.gen != "A"])


@given(PATHS, st.text(min_size=1).filter(lambda text: text.strip()))
def test_a_statement_is_quoted_as_it_was_signed(path: str, text: str) -> None:
    """The words of the author stand in the file, with name and time, and nothing else does."""
    papers = Papers()
    said = state(path, text, RELEASE.digest, ("bert", "physicist"))
    name = name_of(BY_PATH[path], RELEASE.digest)
    papers.put(STATEMENT, name, sign_statement(said, SEALER, NOW))
    item = build(sources_of(RELEASE, papers), TRUST).field(path)
    assert item.status == "complete"
    assert item.value["statement"] == text.strip()
    assert (item.author, item.signed_at) == ("bert", NOW.isoformat())


@pytest.mark.parametrize("harm", ["other key", "edited", "other release", "other field"])
def test_a_statement_that_was_not_signed_so_does_not_count(harm: str) -> None:
    """A foreign key, an edited text, another release or field: the field is missing, with why."""
    path = "p2.b.assumptions"
    said = state(path, "We assume.", RELEASE.digest, ("anna", "engineer"))
    if harm == "other release":
        said["release_digest"] = "sha256:1"
    if harm == "other field":
        said["field"] = "p2.b.trade_offs"
    signed = sign_statement(said, OTHER_SEALER if harm == "other key" else SEALER, NOW)
    if harm == "edited":
        signed["text"] = "We know."
    papers = Papers()
    papers.put(STATEMENT, f"{RELEASE.digest}/{path}", signed)
    item = build(sources_of(RELEASE, papers), TRUST).field(path)
    assert (item.status, item.value) == ("missing", None)
    assert "does not count" in item.reason


def test_who_may_state_what() -> None:
    """Generated fields are not written by hand, only some can be absent, and a text is needed."""
    author = ("anna", "engineer")
    for path, text, absent in (
        ("nowhere", "x", False),
        ("p1.a.version", "2.0", False),
        ("p2.b.assumptions", "none", True),
        ("p2.b.assumptions", "  ", False),
    ):
        with pytest.raises(ConfigurationError):
            state(path, text, RELEASE.digest, author, not_applicable=absent)
    said = state("p2.f.predetermined_changes", "no plan", RELEASE.digest, author,
                 not_applicable=True)  # fmt: skip
    papers = COMPLETE.without(PLAN, PLUGIN)
    name = f"{RELEASE.digest}/p2.f.predetermined_changes"
    papers.put(STATEMENT, name, sign_statement(said, SEALER, NOW))
    item = build(sources_of(RELEASE, papers), TRUST).field("p2.f.predetermined_changes")
    assert (item.status, item.reason, item.author) == ("n/a", "no plan", "anna")


def test_a_draft_is_no_answer() -> None:
    """What is generated for a person to complete is shown, and the field stays missing."""
    item = build(sources_of(RELEASE, Papers()), TRUST).field("p2.b.general_logic")
    assert item.status == "missing"
    assert item.value == {"draft": "A network."}
    assert item.author == ""


@pytest.mark.reg("AIA-11.1")
def test_a_changed_source_makes_the_file_stale() -> None:
    """Every source is kept by digest; one that changed, came or went is named."""
    record = record_of(FILE, b"bundle", ("anna", "engineer"))
    assert stale_sources(record, SOURCES.digests()) == ()
    papers = COMPLETE.copied()
    papers.put(MONITORING, PLUGIN, {"system": "daily"})
    changed = sources_of(RELEASE, papers, interfaces=[{"name": "other"}])
    assert stale_sources(record, changed.digests()) == ("interfaces", MONITORING)
    gone = sources_of(RELEASE, COMPLETE.without(MONITORING, PLUGIN))
    assert stale_sources(record, gone.digests()) == (MONITORING,)


def test_an_acknowledgement_does_not_make_it_stale() -> None:
    """Who read the instructions changes daily; it is listed and outdates nothing."""
    papers = COMPLETE.copied()
    papers.put(ACKNOWLEDGED, "bert", {"plugin": PLUGIN})
    found = sources_of(RELEASE, papers)
    assert found.get(ACKNOWLEDGED) is not None
    assert found.digests() == SOURCES.digests()


@pytest.mark.reg("AIA-8.2")
def test_one_file_answers_both_laws() -> None:
    """Each field stands in one point of Annex IV, in a section of the MDR, and exists once."""
    aia, mdr = index_aia(FILE), index_mdr(FILE)
    in_aia = [row["field"] for point in aia["points"].values() for row in point["fields"]]
    in_mdr = [row["field"] for point in mdr["points"].values() for row in point["fields"]]
    assert len(in_aia) == len(set(in_aia))
    assert len(in_mdr) == len(set(in_mdr))
    assert set(in_aia) | set(in_mdr) == {rule.path for rule in FIELDS}
    assert all(mdr["points"][section]["fields"] for section in MDR_SECTIONS)
    points = {"1(a)", "1(b)", "1(c)", "1(d)", "1(e)", "1(f)", "1(g)", "1(h)", "2(a)", "2(b)",
              "2(c)", "2(d)", "2(e)", "2(f)", "2(g)", "2(h)", "3", "4", "5", "6", "7", "8",
              "9"}  # fmt: skip
    assert points <= set(aia["points"])
    assert sum(sum(row.values()) for row in point_counts(FILE).values()) == len(FIELDS)


@pytest.mark.reg("AIA-8.2")
def test_the_bundle_is_the_same_bytes_and_holds_nothing_twice() -> None:
    """The same sources give the same bundle; a source that is a document is not packed again."""
    import io
    import zipfile

    documents = {"a.json": b"{}", "card.md": CARD.encode()}
    one = pack_bundle(documents, SOURCES)
    assert one == pack_bundle(documents, sources_of(RELEASE, complete(RELEASE)))
    with zipfile.ZipFile(io.BytesIO(one)) as archive:
        content = [archive.read(name) for name in archive.namelist()]
    assert len(content) == len(set(content))
    assert CARD.encode() in content


def test_the_file_is_built_alike_every_time() -> None:
    """Neither order nor time of building shows in the file."""
    again = build(sources_of(RELEASE, complete(RELEASE)), TRUST)
    assert encode(again) == encode(FILE)


def test_earlier_versions_ask_for_a_change_request() -> None:
    """A second version without a recorded change has a gap in point 6, and lists the first."""
    row = {"version": "0.9.0", "digest": "sha256:0"}
    file = build(sources_of(RELEASE, COMPLETE, versions=[row]), TRUST)
    assert file.missing() == ("p6.lifecycle_changes",)
    assert file.field("p1.a.previous_versions").value == [row]
    papers = COMPLETE.copied()
    papers.put("change_request", RELEASE.digest, {"change_class": "D1", "kinds": ["retrain"]})
    file = build(sources_of(RELEASE, papers, versions=[row]), TRUST)
    assert file.field("p6.lifecycle_changes").value["change_class"] == "D1"


def test_a_certificate_of_another_release_is_no_report() -> None:
    """Only a certificate that names this release fills the field of signed reports."""
    bare = small_release(certificate=False)
    assert bare.digest == RELEASE.digest
    file = build(sources_of(bare, COMPLETE), TRUST)
    assert file.missing() == ("p2.g.signed_reports",)
    moved = replace(sources_of(RELEASE, COMPLETE), release_digest="sha256:other")
    assert "p2.g.signed_reports" in build(moved, TRUST).missing()


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_page_says_what_the_file_says(language: Any) -> None:
    """Every field has its part of the page, and every gap prints MISSING with its reason."""
    from adapters.documents.report_html import report_html

    html = report_html(file_report(build(sources_of(RELEASE, Papers()), TRUST), language))
    for rule in FIELDS:
        assert f"field-{rule.path.replace('.', '-')}" in html
        assert f"{rule.path}: " in html
    assert ("MISSING" if language == "en" else "FEHLT") in html
    whole = file_report(FILE, language)
    assert whole.standing.tone == "good"


def test_a_card_is_quoted_by_its_titles() -> None:
    """Headings and bold leads open a part, tables are left out, lists keep their items."""
    found = parts(CARD)
    assert found["output"] == "One segmentation, or an abstention."
    assert items(part(CARD, "limits and failure modes")) == (
        "Faint uptake is missed.",
        "Large tumours are cut.",
    )
    assert part(CARD, "nowhere") == ""
    assert part("**Data.** a `b_c` d\n\n| x | y |\n|---|---|", "data") == "a b_c d"
    assert items("One.\n\nTwo.") == ("One.", "Two.")


def test_a_plan_that_ends_is_not_needed_forever() -> None:
    """Retention states the day once the last unit was placed."""
    papers = COMPLETE.copied()
    content = {"schema": "x", "first_placed": "2026-11-01", "last_placed": "2027-11-01"}
    papers.put(provider.PLACING, PLUGIN, content)
    value = build(sources_of(RELEASE, papers), TRUST).field("retention.until").value
    assert value["kept_until"] == (date(2037, 11, 1)).isoformat()
    assert timedelta(days=3650) < date(2037, 11, 1) - date(2027, 11, 1)
