"""Cohorts: complete or refused, one digest, strata as the run-time gate sees them, seals."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import canonical
from governance.release import digest_of
from governance.strata import CaseFacts, belongs
from plugins.host.images import Geometry, Volume
from validation.cohort import reading
from validation.cohort.arrays import decode_mask, decode_volume, encode_mask, encode_volume
from validation.cohort.cases import FolderFiles, load_case, load_reference
from validation.cohort.coverage import coverage, uncovered_levels
from validation.cohort.fingerprint import descriptor, likeness
from validation.cohort.leakage import (
    Member,
    duplicates,
    fair_members,
    images_of,
    leaked,
    members_of,
    require_no_leak,
)
from validation.cohort.linkage import Linkage, public_linkage, secret_linkage
from validation.cohort.manifest import (
    AXES,
    LETTERS,
    Cohort,
    CohortCase,
    CohortError,
    CohortFacts,
    FileEntry,
    Provenance,
    Reference,
    Seal,
)
from validation.cohort.seal import (
    OpenedFiles,
    SealedKey,
    decode,
    encode,
    new_data_key,
    open_file,
    public_of,
    seal_file,
    unwrap,
    wrap,
)
from validation.cohort.strata import MANDATORY, StratumRule, member, strata_of, with_mandatory
from validation.cohort.wear import Opening, require_unworn

LINKAGE = public_linkage("a data set of tests")
GRID = Geometry((20, 24, 24), (8.0, 8.0, 8.0), (0.0, 0.0, 0.0),
                ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)), "1.2.3")  # fmt: skip


def image(seed: int) -> Volume:
    """Return a CT of noise that is a patient's own."""
    array = np.random.default_rng(seed).normal(40, 80, GRID.shape).round().astype(np.float32)
    return Volume(array, GRID, "CT", "[hnsf'U]", "1", "2", "3", ("4",), {"kvp": 120.0})


def case(number: int, folder: Path | None = None, **changed: Any) -> CohortCase:
    """Return a case of a patient of its own, its files written where a folder is given."""
    case_id = f"case-{number:03}"
    raw = {
        "ct": encode_volume(image(number)),
        "reference": encode_mask(image(number).array > 100, GRID),
    }
    entries = {}
    for role, content in raw.items():
        path = f"files/{case_id}/{role}.npz"
        entries[role] = FileEntry(path, digest_of(content), len(content))
        if folder is not None:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
    manual = Provenance("radiation oncologist", "2024-05-01", "drawn on CT", "manual")
    known = {
        "case_id": case_id,
        "patient_group": LINKAGE.pseudonym(f"PAT{number}"),
        "site": "a",
        "facts": CohortFacts(50.0, sex="F", body_part="THIGH", scanner="GE"),
        "inputs": {"ct": entries["ct"]},
        "reference": Reference(entries["reference"], manual),
    }
    return CohortCase(**{**known, **changed})


def cohort(*cases: CohortCase, **changed: Any) -> Cohort:
    """Return a complete cohort of cases."""
    known: dict[str, Any] = {
        "name": "small", "version": "1", "purpose": "tests", "reference_standard": "one reader",
        "legal_basis": "none needed", "de_identification": "made up",
        "data_governance": {letter: f"words for {letter}" for letter in LETTERS},
        "linkage_key_id": LINKAGE.key_id, "sites": {"a": "A"}, "splits": {"test": "all"},
        "strata": with_mandatory([StratumRule("women", {"sex": "F"})]),
        "target": dict.fromkeys(AXES, ("GE", "F", "M", "THIGH", "metal", "no metal")),
    }  # fmt: skip
    return Cohort(**{**known, **changed}, cases=cases)


def reasons(error: pytest.ExceptionInfo[CohortError]) -> set[str]:
    """Return the codes of a refusal."""
    return {reason.split()[0] for reason in error.value.reasons}


def test_a_manifest_is_written_and_read() -> None:
    """`encode` and `decode` are inverses; a changed letter is another digest."""
    whole = cohort(case(1), case(2))
    raw = reading.encode(whole)
    assert reading.encode(reading.decode(raw)) == raw
    other = cohort(case(1), replace(case(2), facts=CohortFacts(51.0)))
    assert reading.digest(other) != reading.digest(whole)
    sealed = whole.with_seal(Seal("sealed", 3))
    assert reading.digest(sealed) != reading.digest(whole)
    assert reading.content_digest(sealed) == reading.content_digest(whole)


@pytest.mark.reg("AIA-10.2")
@pytest.mark.parametrize("letter", LETTERS)
def test_each_letter_of_article_10_has_to_be_written(letter: str) -> None:
    """A cohort without one of (a) to (h) in words is none."""
    words = dict.fromkeys(LETTERS, "words") | {letter: " "}
    with pytest.raises(CohortError) as error:
        cohort(case(1), data_governance=words)
    assert error.value.reasons == (f"COHORT_WORDS_MISSING data_governance.{letter}",)


@pytest.mark.reg("AIA-15.4L")
def test_a_label_that_a_model_made_alone_is_refused() -> None:
    """A reference of origin ``ai-unedited`` is refused by name; an edited one is taken."""
    made = case(1).reference
    assert made is not None
    for origin, taken in (("ai-edited", True), ("ai-unedited", False)):
        label = replace(made, provenance=replace(made.provenance, origin=origin))
        if taken:
            assert case(1, reference=label).reference == label
            continue
        with pytest.raises(CohortError) as error:
            case(1, reference=label)
        assert error.value.reasons == ("COHORT_LABEL_AI_UNEDITED case-001",)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"patient_group": "STS_001"}, "COHORT_PATIENT_ID"),
        ({"case_id": "Meier, Anna"}, "COHORT_MALFORMED"),
        ({"inputs": {}}, "COHORT_MALFORMED"),
        ({"reference": None}, "COHORT_MALFORMED"),
        ({"site": "elsewhere"}, "COHORT_SITE_UNKNOWN"),
        ({"split": "train"}, "COHORT_SPLIT_UNKNOWN"),
    ],
)
def test_a_malformed_case_is_refused_by_name(change: dict[str, Any], code: str) -> None:
    """What a case must not be is refused, by a stable code."""
    with pytest.raises(CohortError) as error:
        cohort(case(1, **change))
    assert reasons(error) == {code}


def test_a_cohort_without_cases_or_with_one_twice_is_refused() -> None:
    """Nothing and doubles are faults."""
    with pytest.raises(CohortError) as error:
        cohort()
    assert reasons(error) == {"COHORT_EMPTY"}
    with pytest.raises(CohortError) as error:
        cohort(case(1), case(1))
    assert reasons(error) == {"COHORT_CASE_TWICE", "COHORT_PATH_TWICE"}


@given(st.binary(max_size=300))
def test_any_bytes_are_a_manifest_or_refused(raw: bytes) -> None:
    """Nothing else than `CohortError` comes out of reading."""
    with pytest.raises(CohortError):
        reading.decode(raw)


@given(st.sampled_from(["cases", "seal", "strata", "target", "schema", "sites"]), st.integers())
def test_a_manifest_with_a_wrong_field_is_refused(name: str, value: int) -> None:
    """A field of another type is a fault and no crash."""
    values = json.loads(reading.encode(cohort(case(1))))
    with pytest.raises(CohortError):
        reading.decode(canonical.encode(values | {name: value % 1000}))


@given(st.one_of(st.none(), st.floats(0, 120)), st.sampled_from(["M", "F", None]))
def test_strata_mean_what_the_gate_means(years: float | None, sex: str | None) -> None:
    """Membership in a cohort is that of `governance.strata.belongs`."""
    facts = CohortFacts(years, sex=sex, body_part="THIGH")
    for rule in with_mandatory([StratumRule("men", {"sex": "M"})]):
        gate = belongs(rule.judged(0, "insufficient"), CaseFacts(years, sex, "THIGH", (), ("ct",)))
        assert member(rule, facts, ("ct",)) == gate


@pytest.mark.reg("AIA-9.9")
def test_minors_are_a_stratum_that_nobody_can_leave_out_or_soften() -> None:
    """The mandatory strata stand in every manifest, with their own conditions."""
    soft = StratumRule("under-18", {"age_years": [0, 2]}, 1)
    written = json.loads(reading.encode(cohort(case(1), strata=(soft,))))
    found = {item["name"]: item for item in written["strata"]}
    for rule in MANDATORY:
        assert found[rule.name]["where"] == rule.where
        assert found[rule.name]["minimum_n"] >= rule.minimum_n
    child = case(2, facts=CohortFacts(age_band="0-17"))
    assert "under-18" in strata_of(MANDATORY, child)


@pytest.mark.reg("AIA-10.3")
def test_what_is_not_covered_is_said() -> None:
    """Levels of the target without a patient are cells "not covered", and a case there is told."""
    target = dict.fromkeys(AXES, ("GE", "Siemens", "F", "M", "THIGH"))
    table = coverage(cohort(case(1), case(2), target=target))
    assert ("scanner", "Siemens") in table.not_covered
    assert table.levels["sex"]["F"] == 2
    stranger = CohortFacts(50.0, sex="F", scanner="Siemens")
    assert "NOT_COVERED scanner=Siemens" in uncovered_levels(table, stranger)
    assert uncovered_levels(table, case(1).facts) == ()


def test_an_axis_that_nobody_asked_about_is_no_gap() -> None:
    """Where the target names only ``unknown``, patients whose sex is known leave nothing open."""
    target = dict.fromkeys(AXES, ("unknown",)) | {"tumour_site": ("RIB", "unknown")}
    table = coverage(cohort(case(1), case(2), target=target))
    assert table.not_covered == (("tumour_site", "RIB"),)
    assert table.pairs_not_covered == ()


def test_images_come_back_voxel_by_voxel(tmp_path: Path) -> None:
    """Writing and reading a volume and a mask are inverses, and name no study."""
    one = case(1, tmp_path)
    files = FolderFiles(tmp_path)
    found = load_case(one, files).images["ct"]
    assert np.array_equal(found.array, image(1).array)
    assert found.geometry.spacing_mm == GRID.spacing_mm
    reference = load_reference(one, files)
    assert reference is not None
    assert np.array_equal(reference[0], image(1).array > 100)
    for broken in (b"", b"PK\x03\x04", encode_mask(reference[0], GRID)):
        with pytest.raises(CohortError):
            decode_volume(broken, "case-001", "ct")
    with pytest.raises(CohortError):
        decode_mask(encode_volume(image(1)), "case-001")


def test_a_flipped_byte_of_a_file_is_refused(tmp_path: Path) -> None:
    """Every byte is read against its digest."""
    one = case(1, tmp_path)
    path = tmp_path / one.inputs["ct"].path
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CohortError) as error:
        load_case(one, FolderFiles(tmp_path))
    assert reasons(error) == {"COHORT_TAMPERED"}


def test_pseudonyms_need_the_key() -> None:
    """One key gives one pseudonym; another key another; ids are not in it."""
    one, other = secret_linkage(b"a" * 32), secret_linkage(b"b" * 32)
    assert one.pseudonym("P1") == one.pseudonym(" P1 ") != other.pseudonym("P1")
    assert "61" * 4 not in repr(one)
    with pytest.raises(ValueError, match="32 bytes"):
        Linkage(b"short", "x")


@pytest.mark.reg("AIA-10.2")
@pytest.mark.reg("VAL-1")
def test_a_leaked_patient_is_refused_by_name() -> None:
    """A patient of the training is found; cross-fitted needs one member that never saw it."""
    whole = cohort(case(1), case(2))
    seen = [frozenset({LINKAGE.pseudonym("PAT1")}), frozenset({LINKAGE.pseudonym("PAT9")})]
    half = [Member("fold-0", seen[0]), Member("fold-1", seen[1])]
    with pytest.raises(CohortError) as error:
        require_no_leak(whole, half, "held-out")
    assert error.value.reasons == ("LEAKED_PATIENT case-001",)
    require_no_leak(whole, half, "cross-fitted")
    assert fair_members(case(1), half) == ("fold-1",)
    assert leaked(whole, [half[0]], "cross-fitted") == ("LEAKED_PATIENT case-001",)


def test_weights_that_name_no_patients_are_refused() -> None:
    """What weights saw cannot be ruled out where they do not say it."""
    with pytest.raises(CohortError) as error:
        members_of({"weights": ["w"], "training": []}, LINKAGE)
    assert reasons(error) == {"TRAINING_UNSTATED"}
    stated = {"weights": ["w"], "training": [{"file": "w", "fold": 0, "trained_on": ["PAT1"]}]}
    assert members_of(stated, LINKAGE)[0].patients == {LINKAGE.pseudonym("PAT1")}


def test_one_image_under_two_patients_is_found(tmp_path: Path) -> None:
    """A copy under another id, shifted in intensity and mirrored, is a duplicate."""
    cases = [case(number, tmp_path) for number in (1, 2, 3)]
    images = images_of(cohort(*cases), FolderFiles(tmp_path))
    assert duplicates(images) == ()
    copy = replace(image(1), array=np.ascontiguousarray(image(1).array[:, :, ::-1] + 20))
    assert likeness(descriptor(image(1)), descriptor(copy)) > 0.9
    groups = dict(images.groups) | {"case-009": "p-other"}
    found = replace(
        images,
        groups=groups,
        hashes=dict(images.hashes) | {"case-009": "sha256:other"},
        descriptors=dict(images.descriptors) | {"case-009": descriptor(copy)},
    )
    assert [reason.split()[:3] for reason in duplicates(found)] == [
        ["DUPLICATE_IMAGE", "case-001", "case-009"]
    ]


@settings(max_examples=25)
@given(st.binary(max_size=400), st.text(max_size=20), st.text(max_size=20))
def test_what_was_sealed_opens_at_its_place_only(content: bytes, digest: str, path: str) -> None:
    """Sealing and opening are inverses; another place or cohort does not open."""
    key = new_data_key()
    sealed = seal_file(content, key, digest, path)
    assert open_file(sealed, key, digest, path) == content
    assert content not in sealed or len(content) < 4
    for other in ((digest + "x", path), (digest, path + "x")):
        with pytest.raises(CohortError) as error:
            open_file(sealed, key, *other)
        assert reasons(error) == {"SEAL_TAMPERED"}


@settings(max_examples=40)
@given(st.data())
def test_cut_or_changed_sealed_bytes_are_refused(data: st.DataObject) -> None:
    """Any cut and any flipped bit is found."""
    key = new_data_key()
    sealed = seal_file(b"sixteen words of plain text", key, "d", "p")
    place = data.draw(st.integers(0, len(sealed) - 1))
    flipped = bytearray(sealed)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    for broken in (bytes(flipped), sealed[:place], sealed + b"\x00"):
        with pytest.raises(CohortError):
            open_file(broken, key, "d", "p")


def test_only_the_harness_unwraps_the_key() -> None:
    """The wrapped key opens with the secret, for its cohort, and with nothing else."""
    secret, key = bytes(range(32)), new_data_key()
    wrapped = wrap(key, public_of(secret), "sha256:c")
    assert unwrap(decode(encode(wrapped)), secret) == key
    with pytest.raises(CohortError) as error:
        unwrap(wrapped, bytes(32))
    assert reasons(error) == {"SEAL_OTHER_KEY"}
    for changed in (
        replace(wrapped, cohort_digest="sha256:d"),
        replace(wrapped, wrapped=wrapped.wrapped[:-1] + b"\x00"),
        SealedKey("sha256:c", wrapped.public, bytes(92)),
    ):
        with pytest.raises(CohortError) as error:
            unwrap(changed, secret)
        assert reasons(error) == {"SEAL_TAMPERED"}
    for raw in (b"", b"{}", b'{"schema": "osteon.cohort-seal/1"}'):
        with pytest.raises(CohortError):
            decode(raw)


def test_a_closed_cohort_gives_nothing_out(tmp_path: Path) -> None:
    """After closing, the key is gone."""
    one, key = case(1, tmp_path), new_data_key()
    entry = one.inputs["ct"]
    plain = (tmp_path / entry.path).read_bytes()
    files = OpenedFiles(lambda e: seal_file(plain, key, "d", e.path), key, "d")
    assert files.read(entry) == plain
    files.close()
    with pytest.raises(CohortError) as error:
        files.read(entry)
    assert reasons(error) == {"SEAL_CLOSED"}


@pytest.mark.reg("VAL-1")
def test_a_worn_cohort_is_refused() -> None:
    """The look after the last is refused; the same run again is no other look."""
    looks = [Opening(run, "r", "k", "c", "me") for run in ("one", "two")]
    assert require_unworn([Seal("sealed", 2)], looks, "two") == 2
    with pytest.raises(CohortError) as error:
        require_unworn([Seal("sealed", 2)], looks, "three")
    assert reasons(error) == {"SEAL_WORN"}
    with pytest.raises(CohortError):  # sealing it anew sets nothing back
        require_unworn([Seal("sealed", 2), Seal("sealed", 99)], looks, "three")
