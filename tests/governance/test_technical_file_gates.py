"""Gates of the documentation: clinical use waits for it, and a rollback is not held up by age."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from governance import classification, declaration, risk, risk_trace
from governance.gates import Passage
from governance.ports import GovernedStore
from governance.sealed import seal, unsealed
from governance.technical_file.bundle import KIND, record_of
from governance.technical_file.file import build
from governance.technical_file.gates import ADVICE, Desk
from governance.technical_file.sources import MONITORING, Sources
from tests.simulators.papers import (
    NOW,
    OTHER_SEALER,
    PLUGIN,
    SEALER,
    TEST,
    TRUST,
    Papers,
    classified,
    complete,
    register,
    small_release,
    sources_of,
    verified,
)

RELEASE = small_release()
PASSAGE = Passage(
    "site", "clinical", PLUGIN, RELEASE.digest, RELEASE.manifest, "canary", "active", "anna",
    "approver", NOW,
)  # fmt: skip


def _collect(release_digest: str, documents: GovernedStore) -> Sources:
    assert release_digest == RELEASE.digest
    assert isinstance(documents, Papers)
    return sources_of(RELEASE, documents)


DESK = Desk(_collect, lambda: TRUST)


def _built() -> Papers:
    """Return complete documents with the record of the file that was built from them."""
    papers = complete(RELEASE)
    file = build(sources_of(RELEASE, papers), TRUST)
    papers.put(KIND, RELEASE.digest, seal(record_of(file, b"", ("anna", "x")), SEALER, NOW))
    return papers


def _codes(papers: Papers, passage: Passage = PASSAGE) -> list[str]:
    """Return what the gates of the documents object; that of persons has tests of its own."""
    gates = [gate for gate in DESK.gates() if gate != DESK.personnel_gate]
    return [item.code for gate in gates for item in gate(passage, papers)]


@pytest.mark.reg("AIA-11.1")
@pytest.mark.reg("AIA-6.1")
def test_a_documented_release_passes_every_gate() -> None:
    """With file, register, tests, acceptance, classification and declaration nobody objects."""
    assert _codes(_built()) == []


@pytest.mark.reg("AIA-11.1")
def test_an_empty_site_is_refused_for_every_reason() -> None:
    """Each gate says what it lacks, with advice."""
    assert _codes(Papers()) == [
        "CLASSIFICATION_MISSING",
        "RISK_REGISTER_MISSING",
        "DECLARATION_MISSING",
        "TECHNICAL_FILE_MISSING",
    ]
    for gate in DESK.gates():
        assert all(item.advice for item in gate(PASSAGE, Papers()))


@pytest.mark.parametrize(
    ("before", "after", "mode"),
    [
        ("canary", "active", "research"),
        ("registered", "validated", "clinical"),
        ("approved", "shadow", "clinical"),
        ("active", "suspended", "clinical"),
        ("active", "retired", "clinical"),
    ],
)
def test_where_nothing_comes_into_clinical_use_nobody_objects(
    before: str, after: str, mode: str
) -> None:
    """Research mode, shadow, and every way out of use are not the business of these gates."""
    assert _codes(Papers(), replace(PASSAGE, before=before, after=after, mode=mode)) == []


def _put(kind: str, name: str, content: dict[str, object]) -> Callable[[Papers], None]:
    return lambda papers: void(papers.put(kind, name, content))


def void(_: object) -> None:
    """Take a value and give none."""


GAP = {"missing": ["p2.b.assumptions"]}
HARMS: dict[str, tuple[Callable[[Papers], None], list[str]]] = {
    "stale": (
        _put(MONITORING, PLUGIN, {"system": "daily"}),
        ["TECHNICAL_FILE_STALE"],
    ),
    "new register": (
        _put(risk.KIND, PLUGIN, register(harm="another")),
        ["RISK_NOT_ACCEPTED", "TECHNICAL_FILE_STALE"],
    ),
    "failed test": (
        _put(risk_trace.EVIDENCE_KIND, RELEASE.digest, verified(RELEASE, **{TEST: "failed"})),
        ["RISK_TEST_FAILED", "TECHNICAL_FILE_STALE"],
    ),
    "tests of another release": (
        _put(
            risk_trace.EVIDENCE_KIND,
            RELEASE.digest,
            verified(RELEASE) | {"release_digest": "sha256:1"},
        ),
        ["RISK_EVIDENCE_MISSING", "TECHNICAL_FILE_STALE"],
    ),
    "malformed register": (
        _put(risk.KIND, PLUGIN, {"schema": 1}),
        ["CLASSIFICATION_INVALID", "RISK_REGISTER_INVALID", "TECHNICAL_FILE_STALE"],
    ),
    "unsigned classification": (
        _put(classification.KIND, PLUGIN, classified()),
        ["CLASSIFICATION_INVALID", "TECHNICAL_FILE_STALE"],
    ),
    "wrong class": (
        _put(classification.KIND, PLUGIN, seal(classified(mdr_class="IIa"), SEALER, NOW)),
        ["CLASSIFICATION_CLASS", "TECHNICAL_FILE_STALE"],
    ),
    "expired classification": (
        _put(
            classification.KIND,
            PLUGIN,
            seal(classified(valid_until="2026-11-24"), SEALER, NOW),
        ),
        ["CLASSIFICATION_EXPIRED", "TECHNICAL_FILE_STALE"],
    ),
}


@pytest.mark.reg("AIA-9.1")
@pytest.mark.reg("AIA-6.1")
@pytest.mark.parametrize("harm", HARMS)
def test_each_harm_is_refused_by_its_own_code(harm: str) -> None:
    """What was changed after the file was built is named, and so is what is wrong with it."""
    change, wanted = HARMS[harm]
    papers = _built()
    change(papers)
    assert _codes(papers) == wanted


@pytest.mark.reg("AIA-11.1")
@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (GAP, ["TECHNICAL_FILE_INCOMPLETE"]),
        ({"subgroups_missing": True}, ["SUBGROUP_ACCURACY_MISSING"]),
        ({"release_digest": "sha256:1"}, ["TECHNICAL_FILE_INVALID"]),
    ],
)
def test_a_file_with_gaps_blocks(change: dict[str, object], wanted: list[str]) -> None:
    """A gap blocks; missing accuracy of groups is a gap by itself; so is another's record."""
    papers = _built()
    content = unsealed(papers.rows[(KIND, RELEASE.digest)][-1].content)
    papers.put(KIND, RELEASE.digest, seal(content | change, SEALER, NOW))
    assert _codes(papers) == wanted


@pytest.mark.parametrize("forged", [True, False])
def test_a_record_that_nobody_here_sealed_is_none(forged: bool) -> None:
    """An edited record and one of a foreign key count for nothing."""
    papers = _built()
    content = dict(papers.rows[(KIND, RELEASE.digest)][-1].content)
    edited = seal(content, OTHER_SEALER, NOW) if forged else content | {"missing": []} | {"a": 1}
    papers.put(KIND, RELEASE.digest, edited)
    assert _codes(papers) == ["TECHNICAL_FILE_INVALID"]


def test_a_rollback_is_not_held_up_by_a_file_that_is_merely_old() -> None:
    """Back from standby a stale file does not object; one with gaps still does."""
    papers = _built()
    papers.put(MONITORING, PLUGIN, {"system": "daily"})
    back = replace(PASSAGE, before="standby")
    assert _codes(papers) == ["TECHNICAL_FILE_STALE"]
    assert _codes(papers, back) == []
    content = unsealed(papers.rows[(KIND, RELEASE.digest)][-1].content)
    papers.put(KIND, RELEASE.digest, seal(content | GAP, SEALER, NOW))
    assert _codes(papers, back) == ["TECHNICAL_FILE_INCOMPLETE"]


@pytest.mark.reg("AIA-47")
def test_the_declaration_follows_the_approval() -> None:
    """A release is approved before it is declared, and comes into use only after."""
    papers = _built().without(declaration.KIND, RELEASE.digest)
    file = build(sources_of(RELEASE, papers), TRUST)
    papers.put(KIND, RELEASE.digest, seal(record_of(file, b"", ("a", "b")), SEALER, NOW))
    assert _codes(papers, replace(PASSAGE, before="validated", after="approved")) == []
    assert _codes(papers) == ["DECLARATION_MISSING", "TECHNICAL_FILE_INCOMPLETE"]


def test_in_house_devices_need_no_declaration() -> None:
    """A device of one health institution is used without the act (MDR Art. 5(5))."""
    papers = complete(RELEASE).without(declaration.KIND, RELEASE.digest)
    papers.put(classification.KIND, PLUGIN, seal(classified(route="in_house"), SEALER, NOW))
    file = build(sources_of(RELEASE, papers), TRUST)
    papers.put(KIND, RELEASE.digest, seal(record_of(file, b"", ("a", "b")), SEALER, NOW))
    assert _codes(papers) == []


def test_every_code_has_advice() -> None:
    """An operator who is refused is told what to do."""
    assert all(text.strip() for text in (ADVICE | risk_trace.ADVICE | declaration.ADVICE).values())
