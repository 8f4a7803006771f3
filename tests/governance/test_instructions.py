"""Instructions for use: every point of Art. 13(3), the numbers of the report, one release."""

import pytest

from governance import accuracy, provider
from governance.instructions import (
    PARTS,
    instructions,
    open_sections,
    version_of,
)
from governance.instructions_texts import TITLES, WORDS, localised
from governance.log_guide import kinds_table, log_guide, undescribed
from governance.report import LANGUAGES, Language, every_section, numbers
from governance.technical_file.sources import PLAN, nothing
from governance.technical_file.statements import KIND as STATEMENT
from tests.simulators.papers import (
    PLUGIN,
    TODAY,
    complete,
    measured,
    provided,
    small_release,
    sources_of,
)

RELEASE = small_release()
COMPLETE = complete(RELEASE)
SOURCES = sources_of(RELEASE, COMPLETE)
LAW = ("(a)", "(b)(i)", "(b)(ii)", "(b)(iii)", "(b)(iv)", "(b)(v)", "(b)(vi)", "(b)(vii)", "(c)",
       "(d)", "(e)", "(f)")  # fmt: skip


@pytest.mark.reg("AIA-13.3b")
@pytest.mark.reg("AIA-13.3c")
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_point_of_the_article_has_a_section(language: Language) -> None:
    """(a) to (f) and (i) to (vii) are there, filled, with a title in the language."""
    report = instructions(SOURCES, language)
    assert {law.removeprefix("13(3)") for _, law, _ in PARTS} == set(LAW)
    assert open_sections(report) == ()
    assert report.standing.text == ""
    titles = [section.title for section in report.sections]
    index = LANGUAGES.index(language)
    assert titles == [TITLES[key][index] for key, _, _ in PARTS]


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_sources_every_section_says_missing(language: Language) -> None:
    """Nothing is written where there is nothing to say."""
    report = instructions(nothing(TODAY), language)
    assert open_sections(report) == tuple(key for key, _, _ in PARTS)
    assert report.standing.tone == "bad"


@pytest.mark.reg("AIA-13.3b")
def test_the_numbers_are_those_of_the_report() -> None:
    """Each figure of the source stands in the instructions with value and interval, unrounded."""
    stated = [n for n in numbers(instructions(SOURCES, "en")) if n.low is not None]
    wanted = {
        (figure["value"], figure["low"], figure["high"])
        for group in measured(RELEASE)["groups"]
        if group["n"] >= 8
        for figure in group["figures"].values()
    }
    assert {(n.value, n.low, n.high) for n in stated} == wanted
    assert len(stated) >= 3


@pytest.mark.reg("AIA-13.3c")
def test_the_version_moves_with_release_and_content() -> None:
    """Another release, another figure or another plan of changes is another version."""
    first = version_of(instructions(SOURCES, "en"))
    assert first.startswith("1.0.0-en-")
    assert first == version_of(instructions(sources_of(RELEASE, complete(RELEASE)), "en"))
    versions = {first, version_of(instructions(SOURCES, "de"))}
    other = small_release(parameters={"mirrored": False})
    versions.add(version_of(instructions(sources_of(other, complete(other)), "en")))
    papers = COMPLETE.copied()
    plan = {"plan": {"version": "2", "modification": [{"id": "M1", "rationale": "other data"}]}}
    papers.put(PLAN, PLUGIN, plan)
    versions.add(version_of(instructions(sources_of(RELEASE, papers), "en")))
    changed = measured(RELEASE)
    changed["groups"][0]["figures"]["dsc"]["value"] = 0.8168
    papers = COMPLETE.copied()
    papers.put(accuracy.KIND, RELEASE.digest, changed)
    versions.add(version_of(instructions(sources_of(RELEASE, papers), "en")))
    assert len(versions) == 5


def test_no_plan_is_said_by_a_person() -> None:
    """Without a plan the section is open until somebody states that there is none."""
    papers = COMPLETE.without(PLAN, PLUGIN)
    assert open_sections(instructions(sources_of(RELEASE, papers), "en")) == ("changes",)
    name = f"{RELEASE.digest}/p2.f.predetermined_changes"
    papers.put(STATEMENT, name, {"text": "none", "not_applicable": True})
    assert open_sections(instructions(sources_of(RELEASE, papers), "en")) == ()


def test_a_malformed_document_is_a_gap() -> None:
    """A provider that cannot be read leaves its section open instead of ending the build."""
    papers = COMPLETE.copied()
    papers.put(provider.PROVIDER, provider.SITE, provided(address=7))
    assert open_sections(instructions(sources_of(RELEASE, papers), "de")) == ("provider",)


def test_sizes_are_written_in_the_language() -> None:
    """Ranges keep their numbers; German has a decimal comma and German words."""
    assert localised("0.4 to 2.5 mm", "de") == "0,4 bis 2,5 mm"
    assert localised("0.4 to 2.5 mm", "en") == "0.4 to 2.5 mm"
    assert localised("at most 10 degrees", "de") == "höchstens 10 Grad"
    assert all(len(pair) == 2 and all(pair) for pair in (*TITLES.values(), *WORDS.values()))


@pytest.mark.reg("AIA-13.3c")
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_log_guide_explains_every_kind(language: Language) -> None:
    """Each kind of record of the schema has its section and its line; nothing is MISSING."""
    from audit.kinds import KINDS

    sections = {section.title for section in every_section(log_guide(language))}
    assert set(KINDS) <= sections
    assert len(kinds_table(language).rows) == len(KINDS)
    assert undescribed() == ()
