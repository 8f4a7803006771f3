"""Which release applies to which study, on which series, and why not."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.host.facts import SeriesFacts, StudyFacts
from plugins.host.manifest import Input, Manifest, Rule
from plugins.host.routing import Decision, Reason, decide, fulfils, number, route

MANIFEST = Manifest(
    *("contouring", "0.1.0", "Contouring", "Test routing", "real"),
    inputs=(
        Input("ct", "CT", minimum_instances=3),
        Input("pet", "PT", required=False, same_frame_as="ct"),
    ),
    outputs=(),
)


NO_PET = ("MODALITY", "pet")


def series(uid: str, modality: str = "CT", count: int = 5, frame: str | None = "F1", **tags: str):
    """Return a series of ``count`` instances."""
    instances = tuple(f"{uid}.{index}" for index in range(count))
    return SeriesFacts(uid, modality, instances, None, frame, tags)


def study(*items: SeriesFacts, **tags: str) -> StudyFacts:
    """Return a study of these series."""
    return StudyFacts("1.2", items, tags)


def chosen(*items: SeriesFacts, manifest: Manifest = MANIFEST, **tags: str) -> Decision:
    """Return the decision for one release."""
    return decide(study(*items, **tags), "sha256:r", manifest)


def with_rules(*rules: Rule) -> Manifest:
    """Return the manifest with routing rules."""
    return replace(MANIFEST, routing=rules)


def codes(decision: Decision) -> set[str]:
    """Return the codes of all reasons but those for an optional PET that is not there."""
    return {item.code for item in decision.reasons if (item.code, item.role) != NO_PET}


def test_a_study_with_what_the_release_needs_applies() -> None:
    """Roles are filled, and the instances named that the run id is made from."""
    found = chosen(series("1", count=3), series("2", "PT", count=2))
    assert found.applies
    assert found.series == {"ct": "1", "pet": "2"}
    assert found.sop_instance_uids == ("1.0", "1.1", "1.2", "2.0", "2.1")
    assert found.reasons == ()


def test_a_multi_frame_object_counts_by_its_frames() -> None:
    """One enhanced CT of many frames fills a role that asks for several images."""
    assert chosen(series("1", count=1, NumberOfFrames="3")).series["ct"] == "1"
    assert not chosen(series("1", count=1, NumberOfFrames="2")).applies
    assert not chosen(series("1", count=1, NumberOfFrames="many")).applies
    both = (series("1", count=4), series("2", count=1, NumberOfFrames="5"))
    assert chosen(*both).series["ct"] == "2"


def test_a_study_without_the_required_modality_does_not_apply() -> None:
    """The reason names the keyword, what was expected and what is there."""
    found = chosen(series("1", "MR"), series("2", "PT"))
    assert not found.applies
    assert found.series == {}
    assert found.sop_instance_uids == ()
    assert Reason("MODALITY", "Modality", "CT", "MR|PT", "ct") in found.reasons
    assert "MISSING_INPUT" in codes(found)


def test_an_optional_input_may_be_absent() -> None:
    """CT alone is enough where PET is optional; that there is none is told."""
    found = chosen(series("1"))
    assert found.reasons == (Reason("MODALITY", "Modality", "PT", "CT", "pet"),)
    assert found.applies
    assert found.series == {"ct": "1"}


def test_an_input_of_another_frame_of_reference_is_left_out() -> None:
    """PET in another frame of reference is not mixed in, and the reason says so."""
    found = chosen(series("1"), series("2", "PT", frame="F2"))
    assert found.series == {"ct": "1"}
    assert "FRAME_OF_REFERENCE" in codes(found)


def test_a_frame_of_reference_that_is_not_told_is_left_to_the_reader() -> None:
    """Where the archive does not tell the frame, the series is routed, with a note."""
    found = chosen(series("1"), series("2", "PT", frame=None))
    assert found.series == {"ct": "1", "pet": "2"}
    assert "FRAME_OF_REFERENCE_UNKNOWN" in codes(found)


def test_a_required_companion_in_another_frame_prevents_the_run() -> None:
    """Where PET is required, a PET of another frame of reference does not do."""
    pet = Input("pet", "PT", same_frame_as="ct")
    found = chosen(
        series("1"),
        series("2", "PT", frame="F2"),
        manifest=replace(MANIFEST, inputs=(MANIFEST.inputs[0], pet)),
    )
    assert not found.applies
    assert {"FRAME_OF_REFERENCE", "MISSING_INPUT"} <= codes(found)


def test_the_ct_that_has_a_pet_beside_it_is_taken() -> None:
    """A CT in the frame of the PET comes before a longer one in another frame."""
    found = chosen(series("1", count=99, frame="F9"), series("2"), series("3", "PT"))
    assert found.series == {"ct": "2", "pet": "3"}
    assert Reason(
        "LESS_PREFERRED", "FrameOfReferenceUID", found.reasons[0].expected, "", "ct",
        found.reasons[0].series,
    ) in found.reasons  # fmt: skip


@pytest.mark.parametrize(
    ("better", "worse", "keyword"),
    [
        (series("9", ImageType="ORIGINAL\\PRIMARY"), series("1", ImageType="DERIVED\\SECONDARY"),
         "ImageType"),
        (series("9", count=7), series("1", count=6), "NumberOfSeriesRelatedInstances"),
        (series("9", SliceThickness="1.25"), series("1", SliceThickness="5"), "SliceThickness"),
        (series("9", SliceThickness="5"), series("1"), "SliceThickness"),
        (series("1"), series("9"), "SeriesInstanceUID"),
    ],
)  # fmt: skip
def test_the_best_series_is_taken_for_a_stated_reason(
    better: SeriesFacts, worse: SeriesFacts, keyword: str
) -> None:
    """Original, most instances, thinnest slice, smallest UID: in this order."""
    found = chosen(worse, better)
    assert found.series["ct"] == better.series_instance_uid
    reasons = [(item.code, item.keyword) for item in found.reasons if item.role == "ct"]
    assert reasons == [("LESS_PREFERRED", keyword)]


def test_the_order_of_the_search_does_not_matter() -> None:
    """Whatever order the archive lists series in, the decision is the same."""
    items = (series("1"), series("2", count=6), series("3", "PT"), series("4", "PT", count=6))
    found = {
        tuple(sorted(chosen(*order).series.items())) for order in itertools.permutations(items)
    }
    assert found == {(("ct", "2"), ("pet", "4"))}


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (series("1", count=2), "INSTANCES"),
        (series("1", ImageType="ORIGINAL\\PRIMARY\\LOCALIZER"), "NOT_VOLUME"),
        (series("1", ImageType="DERIVED\\SECONDARY\\MPR"), "NOT_VOLUME"),
        (series("1", ImageType="derived\\secondary\\mip"), "NOT_VOLUME"),
    ],
)
def test_what_is_no_stack_of_images_is_never_an_input(bad: SeriesFacts, code: str) -> None:
    """Localizers, reformatted images and fragments are left out, with the reason."""
    found = chosen(bad)
    assert not found.applies
    assert codes(found) == {code, "MISSING_INPUT"}


def test_own_results_never_trigger_a_run() -> None:
    """A series that this suite wrote is known by its recorded UID, not by a description."""
    found = decide(study(series("1")), "sha256:r", MANIFEST, own_series={"1"})
    assert not found.applies
    assert "OWN_OUTPUT" in codes(found)


def test_a_derived_pet_is_an_input() -> None:
    """Real PET series say DERIVED SECONDARY; they are used all the same."""
    found = chosen(series("1"), series("2", "PT", ImageType="DERIVED\\SECONDARY"))
    assert found.series["pet"] == "2"


RULES = [
    (Rule("K", "equals", "LEG"), {"K": " leg "}, True),
    (Rule("K", "equals", "LEG"), {"K": "LEGS"}, False),
    (Rule("K", "in", ("LEG", "ARM")), {"K": "arm"}, True),
    (Rule("K", "in", ("LEG", "ARM")), {"K": "HEAD"}, False),
    (Rule("K", "contains", "PRIMARY"), {"K": "ORIGINAL\\PRIMARY\\AXIAL"}, True),
    (Rule("K", "contains", "thigh"), {"K": "CT Thigh left"}, True),
    (Rule("K", "contains", "thigh"), {"K": "CT Chest"}, False),
    (Rule("K", "matches", "PET*AC"), {"K": "PET WB AC"}, True),
    (Rule("K", "matches", "PET*AC"), {"K": "PET WB NAC (2)"}, False),
    (Rule("K", "at_least", 2.5), {"K": "3.0\\1.0"}, True),
    (Rule("K", "at_least", 2.5), {"K": "2.0"}, False),
    (Rule("K", "at_most", 5.0), {"K": "5"}, True),
    (Rule("K", "at_most", 5.0), {"K": "thin"}, False),
    (Rule("K", "at_least", 18.0), {"K": "064Y"}, True),
    (Rule("K", "at_least", 18.0), {"K": "100M"}, False),
    (Rule("K", "present"), {"K": "x"}, True),
    (Rule("K", "present"), {"K": "  "}, False),
    (Rule("K", "absent"), {}, True),
    (Rule("K", "absent"), {"K": "x"}, False),
    (Rule("K", "equals", "LEG"), {}, False),
    (Rule("K", "at_most", 5.0), {}, False),
]


@pytest.mark.parametrize(("rule", "tags", "expected"), RULES)
def test_each_operator_holds_and_fails(rule: Rule, tags: dict[str, str], expected: bool) -> None:
    """Every operator decides as documented, and negation turns it round."""
    assert fulfils(rule, tags) is expected
    assert fulfils(replace(rule, negate=True), tags) is not expected


def test_an_unknown_operator_is_an_error() -> None:
    """A manifest with an operator that does not exist is not silently ignored."""
    with pytest.raises(ValueError, match="operator"):
        fulfils(Rule("K", "eval", "__import__('os')"), {"K": "x"})


@given(st.text(max_size=20))
def test_any_text_is_a_number_or_nan(text: str) -> None:
    """Free text in a number field never raises."""
    number(text)


def test_a_failed_study_rule_names_the_tag() -> None:
    """`osteon route test` can say which tag failed, what was wanted and what was found."""
    rule = Rule("InstitutionName", "in", ("North", "South"))
    found = chosen(series("1"), manifest=with_rules(rule), InstitutionName="East")
    assert not found.applies
    assert Reason("STUDY_RULE", "InstitutionName", "in North|South", "East") in found.reasons


def test_a_failed_series_rule_names_series_and_tag() -> None:
    """A rule for one role excludes series, not the study."""
    rule = Rule("SeriesDescription", "matches", ("*NAC*",), "pet", negate=True)
    found = chosen(
        series("1"),
        series("2", "PT", SeriesDescription="PET NAC"),
        series("3", "PT", count=2, SeriesDescription="PET AC"),
        manifest=with_rules(rule),
    )
    assert found.series == {"ct": "1", "pet": "3"}
    reason = found.reasons[0]
    assert (reason.code, reason.keyword, reason.found, reason.role) == (
        "SERIES_RULE", "SeriesDescription", "PET NAC", "pet",
    )  # fmt: skip
    assert reason.expected == "not matches *NAC*"


def test_a_series_rule_may_ask_for_a_tag_of_the_study() -> None:
    """What the archive tells at the study level counts for its series too."""
    rule = Rule("PatientAge", "at_least", 18.0, "ct")
    assert chosen(series("1"), manifest=with_rules(rule), PatientAge="040Y").applies
    assert not chosen(series("1"), manifest=with_rules(rule), PatientAge="009Y").applies


def test_reasons_name_series_by_a_short_digest_only() -> None:
    """Reasons go into records: no full UID of a patient's series stands in them."""
    uid = "1.2.840.113619.2.55.3.1234567890.123"
    found = chosen(series(uid, count=1), series("1"))
    assert uid not in repr(found.reasons)
    assert len(found.reasons[0].series) == 12


def test_each_active_release_gets_its_own_decision() -> None:
    """One study, two releases: one applies, the other says why not."""
    dose = replace(MANIFEST, plugin="dose", inputs=(Input("ct", "CT"), Input("plan", "RTPLAN")))
    found = route(study(series("1")), [("sha256:a", MANIFEST), ("sha256:b", dose)])
    assert [(item.plugin, item.release_digest, item.applies) for item in found] == [
        ("contouring", "sha256:a", True),
        ("dose", "sha256:b", False),
    ]
    assert Reason("MODALITY", "Modality", "RTPLAN", "CT", "plan") in found[1].reasons


def test_a_role_of_every_takes_all_that_could_fill_it() -> None:
    """Plans in the order of their UIDs, none preferred; what the suite wrote is none of them."""
    wanted = Input("plan", "RTPLAN", required=False, every=True)
    manifest = replace(MANIFEST, inputs=(Input("ct", "CT"), wanted))
    plans = (series("9", "RTPLAN", 1), series("3", "RTPLAN", 2), series("4", "RTPLAN", 1))
    found = decide(study(series("1"), *plans), "sha256:r", manifest, own_series={"4"})
    assert found.series == {"ct": "1", "plan": "3", "plan-2": "9"}
    assert {"3.0", "3.1", "9.0"} <= set(found.sop_instance_uids)
    assert "4.0" not in found.sop_instance_uids
    assert [item.code for item in found.reasons] == ["OWN_OUTPUT"]
    alone = decide(study(series("1")), "sha256:r", manifest)
    assert alone.applies
    assert alone.series == {"ct": "1"}


def test_a_further_role_is_told_from_another_one() -> None:
    """Only a number after the role's name makes it a further one, and only of ``every``."""
    every = Input("plan", "RTPLAN", every=True)
    assert [every.numbered(number) for number in (1, 2, 11)] == ["plan", "plan-2", "plan-11"]
    assert all(every.holds(role) for role in ("plan", "plan-2", "plan-11"))
    assert not any(every.holds(role) for role in ("planned", "plan-b", "plan-", "2"))
    assert not replace(every, every=False).holds("plan-2")
