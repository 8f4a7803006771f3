"""Prescriptions in plans, intents and orders are found where meant; contradictions are named."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import RTIonPlanStorage

from adapters.fhir.client import FhirClient
from adapters.prescriptions.in_dicom import statement_in
from adapters.prescriptions.in_fhir import search_prescriptions, statements_of
from adapters.prescriptions.protocols import Protocol, load_protocol
from adapters.prescriptions.statements import Choice, Statement, Unusable, agree, choose
from plugins.host.prescription import PrescribedTarget, Prescription
from tests.simulators.example_site import small_phantom
from tests.simulators.given_data import folder_of
from tests.simulators.prescription_objects import (
    LEVELS,
    STRUCTURE_SET,
    dose_to_volume,
    intent,
    order,
    plan,
)
from tests.simulators.seed_objects import ct_headers

STUDY, FILES = small_phantom()
HEADER = ct_headers(FILES)[0]
EXAMPLE = Path(__file__).parents[2] / "docs/examples/protocols/head-neck-70-63-56.toml"
OTHERS = {"PTV_6600": 66.0, "PTV_5400": 54.0}


def doses(statement: Any) -> dict[str, float]:
    """Return name -> dose of a statement that has a prescription."""
    assert isinstance(statement, Statement), statement
    assert statement.prescription is not None
    return {item.roi_name: item.dose_gy for item in statement.prescription.targets}


def uid_of(data: bytes) -> str:
    """Return the SOP Instance UID of a file."""
    return str(pydicom.dcmread(io.BytesIO(data)).SOPInstanceUID)


def test_a_plan_prescribes_by_number_and_name() -> None:
    """Target doses, ROI numbers with the structure set they belong to, fractions, and who."""
    data = plan(HEADER)
    found = statement_in(data, STUDY)
    assert doses(found) == LEVELS
    assert isinstance(found, Statement)
    assert found.prescription is not None
    assert [item.roi_number for item in found.prescription.targets] == [1, 2, 3]
    assert found.prescription.structure_set_uid == STRUCTURE_SET
    assert found.prescription.fraction_count == 35
    assert found.prescription.reference == found.object_id == uid_of(data)
    assert (found.source, found.given_by) == ("plan", "Planner^Anna")


def test_an_intent_prescribes_to_its_volumes() -> None:
    """Prescription doses of conceptual volumes, called as the physician labelled them."""
    found = statement_in(intent(HEADER, protocol="HN-SIB-70"), STUDY)
    assert doses(found) == LEVELS
    assert isinstance(found, Statement)
    assert found.prescription is not None
    assert (found.source, found.protocols) == ("physician_intent", ("HN-SIB-70",))
    assert found.prescription.fraction_count == 35
    assert doses(statement_in(intent(HEADER, {"PTV": 5040.0}, unit="cGy"), STUDY)) == {"PTV": 50.4}


@pytest.mark.parametrize(
    "data",
    [
        plan(HEADER, {"PTV": None}),
        plan(HEADER, PlanIntent="VERIFICATION"),
        plan(HEADER, PlanIntent="MACHINE_QA"),
        plan(HEADER, PlanIntent="RESEARCH"),
        plan(HEADER, ApprovalStatus="REJECTED"),
        plan(HEADER, kind="COORDINATES"),
        plan(HEADER, kind="POINT"),
        intent(HEADER, objective="130004"),
        FILES[0],
        b"",
        b"not DICOM",
    ],
    ids=[
        *("no dose", "verification", "machine QA", "research", "rejected", "coordinates", "point"),
        *("other objective", "image", "empty", "text"),
    ],
)
def test_what_prescribes_nothing_is_no_prescription(data: bytes) -> None:
    """A plan that treats nobody, a dose to a point or another object states nothing."""
    assert statement_in(data, STUDY) is None


@pytest.mark.parametrize(
    ("data", "study", "reason"),
    [
        (plan(HEADER, fractions=(16, 4)), STUDY, "PRESCRIPTION_SEVERAL_GROUPS"),
        (plan(HEADER, sop_class=RTIonPlanStorage), STUDY, "PRESCRIPTION_NOT_PHOTONS"),
        (plan(HEADER, {"PTV": 7000.0}), STUDY, "PRESCRIPTION_SHAPE"),
        (plan(HEADER, {"": 70.0}, structure_set=""), STUDY, "PRESCRIPTION_SHAPE"),
        (plan(HEADER), "1.2.3", "PRESCRIPTION_OTHER_STUDY"),
        (intent(HEADER, unit="mGy"), STUDY, "PRESCRIPTION_UNITS"),
        (intent(HEADER, scope="LIFETIME"), STUDY, "PRESCRIPTION_SHAPE"),
        (intent(HEADER, {"": 70.0}), STUDY, "PRESCRIPTION_SHAPE"),
        (intent(HEADER), "1.2.3", "PRESCRIPTION_OTHER_STUDY"),
    ],
    ids=[
        *("two groups", "ions", "cGy in Gy", "nameless", "plan elsewhere"),
        *("mGy", "lifetime", "unlabelled", "intent elsewhere"),
    ],
)
def test_a_prescription_that_cannot_be_used_says_why(data: bytes, study: str, reason: str) -> None:
    """What was meant is not passed over: it keeps other sources from being used unseen."""
    found = statement_in(data, study)
    assert isinstance(found, Unusable)
    assert (found.object_id, found.reason) == (uid_of(data), reason)


def test_numbers_of_no_structure_set_are_left_out() -> None:
    """A plan that names no structure set still prescribes by name."""
    found = statement_in(plan(HEADER, structure_set=""), STUDY)
    assert isinstance(found, Statement)
    assert found.prescription is not None
    assert {item.roi_number for item in found.prescription.targets} == {None}


def test_phases_of_an_intent_leave_fractions_open() -> None:
    """Doses are totals of all prescriptions; 25 and 10 fractions are no one number."""
    found = statement_in(intent(HEADER, fractions=(25, 10)), STUDY)
    assert isinstance(found, Statement)
    assert found.prescription is not None
    assert found.prescription.fraction_count is None


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 5000), st.sampled_from([0, 1]))
def test_hostile_bytes_raise_nothing(noise: bytes, place: int, which: int) -> None:
    """Whatever lies in the archive, looking for a prescription never fails."""
    whole = bytearray(SAMPLES[which])
    place %= len(whole)
    whole[place : place + len(noise)] = noise
    found = statement_in(bytes(whole), STUDY)
    assert found is None or isinstance(found, Statement | Unusable)


SAMPLES = (plan(HEADER), intent(HEADER))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pymedphys_history/monaco_imrt_RP.dcm", {"PELVIS": 50.4}),
        ("dicompyler/rtplan.dcm", {"Breast": 14.0}),
        ("pymedphys_history/monaco_multi_fraction_groups_RP.dcm", "PRESCRIPTION_SEVERAL_GROUPS"),
        ("pydicom/rtplan.dcm", None),
    ],
)
def test_real_plans_say_what_they_prescribe(name: str, expected: Any) -> None:
    """Plans of Monaco, Pinnacle and pydicom: a site's dose, phases, a dose to coordinates only."""
    data = (folder_of("dicom_rt") / name).read_bytes()
    study = str(pydicom.dcmread(io.BytesIO(data), force=True).StudyInstanceUID)
    found = statement_in(data, study)
    if isinstance(expected, dict):
        assert doses(found) == expected
    else:
        assert (found.reason if isinstance(found, Unusable) else found) == expected


def test_the_plan_of_a_linked_chain_prescribes_to_its_structure_set() -> None:
    """OpenKBP pt_1, for research: three levels, 35 fractions, numbers of the RTSTRUCT beside it."""
    with zipfile.ZipFile(folder_of("openkbp_dicom") / "pt_1.zip") as packed:
        names = {Path(name).name: name for name in packed.namelist()}
        data, structures = packed.read(names["RP.dcm"]), packed.read(names["RS.dcm"])
    study = str(pydicom.dcmread(io.BytesIO(data)).StudyInstanceUID)
    assert statement_in(data, study) is None
    found = statement_in(data, study, for_research=True)
    assert doses(found) == {"PTV56": 56.0, "PTV63": 63.0, "PTV70": 70.0}
    assert isinstance(found, Statement)
    assert found.prescription is not None
    assert found.prescription.fraction_count == 35
    assert found.prescription.structure_set_uid == uid_of(structures)


def ask(*resources: dict[str, Any], names: dict[str, str] | None = None) -> list[Any]:
    """Return what orders state; ``names`` are those of BodyStructures on the server."""
    return list(statements_of(resources, STUDY, lambda key: (names or {}).get(key, "")))


def test_an_order_of_the_documented_shape_prescribes() -> None:
    """Total doses in cGy, fractions, requester and protocol come from the resource."""
    (found,) = ask(order(STUDY, protocol="head-neck-70-63-56") | {"id": "9"})
    assert doses(found) == LEVELS
    assert found.prescription.fraction_count == 35
    assert (found.source, found.object_id) == ("service_request", "ServiceRequest/9")
    assert (found.given_by, found.protocols) == ("Practitioner/4", ("head-neck-70-63-56",))


def test_the_documented_order_is_read_as_it_stands() -> None:
    """The JSON of docs/prescriptions.md is an order for the study that it names."""
    text = (EXAMPLE.parents[2] / "prescriptions.md").read_text("utf-8")
    resource = json.loads(text.split("```json")[1].split("```")[0])
    (found,) = statements_of([resource | {"id": "9"}], "1.2.840.99999.7", lambda _: "")
    assert doses(found) == {"PTV_7000": 70.0}
    assert isinstance(found, Statement)
    assert found.protocols == (load_protocol(EXAMPLE).name,)


def test_a_volume_is_named_where_the_profile_puts_the_name() -> None:
    """In the reference, contained in the request, or by the BodyStructure on the server."""
    usual = {"resourceType": "BodyStructure", "id": "v",
             "identifier": [{"use": "usual", "value": "PTV_7000"}]}  # fmt: skip
    contained = order(STUDY, contained=[usual], extension=[
        dose_to_volume("", 70.0, reference={"reference": "#v"})])  # fmt: skip
    on_server = order(STUDY, extension=[
        dose_to_volume("", 70.0, reference={"reference": "BodyStructure/17"})])  # fmt: skip
    assert doses(ask(contained | {"id": "9"})[0]) == {"PTV_7000": 70.0}
    assert doses(ask(on_server | {"id": "9"}, names={"17": "PTV_7000"})[0]) == {"PTV_7000": 70.0}
    (nameless,) = ask(on_server | {"id": "9"})
    assert nameless == Unusable("service_request", "ServiceRequest/9", "PRESCRIPTION_SHAPE")


def _extension(**changes: Any) -> list[dict[str, Any]]:
    whole = dose_to_volume("PTV_7000", 70.0)
    found = copy.deepcopy(whole)
    found["extension"][1]["valueQuantity"] |= changes
    return [found]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"code": {"coding": [{"system": "http://snomed.info/sct", "code": "1222565005"}]}},
         "PRESCRIPTION_PART_OF_COURSE"),
        ({"code": None}, "PRESCRIPTION_PART_OF_COURSE"),
        ({"extension": []}, "PRESCRIPTION_SHAPE"),
        ({"extension": _extension(code="mGy")}, "PRESCRIPTION_UNITS"),
        ({"extension": _extension(system="urn:other")}, "PRESCRIPTION_UNITS"),
        ({"extension": _extension(value="7000")}, "PRESCRIPTION_SHAPE"),
        ({"extension": _extension(value=True)}, "PRESCRIPTION_SHAPE"),
        ({"extension": _extension(value=-1)}, "PRESCRIPTION_SHAPE"),
        ({"extension": _extension() * 2}, "PRESCRIPTION_SHAPE"),
        ({"extension": [{"url": dose_to_volume("a", 1.0)["url"], "extension": "x"}]},
         "PRESCRIPTION_SHAPE"),
        ({"supportingInfo": [{"identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.9"}}]},
         "PRESCRIPTION_OTHER_STUDY"),
    ],
)  # fmt: skip
def test_an_order_of_another_shape_says_why(changes: dict[str, Any], reason: str) -> None:
    """A phase, a unknown unit, a dose twice, another study: each has its reason."""
    (found,) = ask(order(STUDY, **changes) | {"id": "9"})
    assert found == Unusable("service_request", "ServiceRequest/9", reason)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "draft"},
        {"status": "revoked"},
        {"status": "entered-in-error"},
        {"intent": "proposal"},
        {"doNotPerform": True},
        {"identifier": [{"system": "urn:osteon:prescription", "value": "urn:oid:1.2.3"}]},
        {"identifier": None},
    ],
)
def test_another_order_is_none_of_ours(changes: dict[str, Any]) -> None:
    """A draft, a withdrawn one, a proposal or another study's is passed over."""
    assert ask(order(STUDY, **changes) | {"id": "9"}) == []


def test_an_order_may_only_name_a_protocol() -> None:
    """Then the site's protocol says the doses."""
    (found,) = ask(order(STUDY, {}, protocol="head-neck-70-63-56") | {"id": "9"})
    chosen = choose([found], [load_protocol(EXAMPLE)])
    assert chosen.prescription is not None
    assert chosen.prescription.source == "protocol"
    assert {item.dose_gy for item in chosen.prescription.targets} == set(LEVELS.values())
    assert choose([found]) == Choice()


@pytest.mark.server
def test_an_order_is_found_on_a_server_that_we_did_not_write(fhir: Any) -> None:
    """The documented resource is valid R4, is found by its identifier, and its volume is read."""
    patient = fhir.post("Patient", {"resourceType": "Patient"})
    subject = {"reference": f"Patient/{patient['id']}"}
    volume = fhir.post("BodyStructure", {
        "resourceType": "BodyStructure", "patient": subject,
        "identifier": [{"use": "usual", "value": "PTV_7000"}],
    })  # fmt: skip
    place = {"reference": f"BodyStructure/{volume['id']}"}
    for study, dose in ((STUDY, 70.0), ("1.2.3.4", 66.0)):
        extension = [dose_to_volume("", dose, reference=place)]
        fhir.post("ServiceRequest", order(study, subject=subject, extension=extension))
    with FhirClient(fhir.url) as client:
        (found,) = search_prescriptions(client, STUDY)
        assert doses(found) == {"PTV_7000": 70.0}
        assert search_prescriptions(client, "1.2.3") == ()


def stated(source: str, levels: dict[str, float], count: int | None = None, **more: Any) -> Any:
    """Return a statement; its id is its source unless given."""
    targets = tuple(PrescribedTarget(dose, name) for name, dose in levels.items())
    key = more.pop("object_id", source)
    return Statement(source, key, Prescription(targets, source, key, count), **more)


def protocol(name: str = "site", levels: dict[str, float] | None = None) -> Protocol:
    """Return a protocol without rules."""
    targets = tuple(PrescribedTarget(d, n) for n, d in (levels or LEVELS).items())
    return Protocol(name, name, targets, 35, load_protocol(EXAMPLE).goals)


def test_the_plan_counts_first_and_the_protocol_last() -> None:
    """Where all agree the first by precedence is taken; what it leaves open others say."""
    all_of_them = [
        stated("service_request", LEVELS, 35),
        stated("plan", {"PTV56": 56.0, "PTV63": 63.0, "PTV70": 70.0}),
        stated("physician_intent", LEVELS),
    ]
    found = choose(all_of_them, applying=[protocol()])
    assert found.prescription is not None
    assert (found.prescription.source, found.prescription.fraction_count) == ("plan", 35)
    assert (found.prescription.protocol, len(found.prescription.goals)) == ("site", 11)
    order_first = choose(all_of_them[:1], applying=[protocol()]).prescription
    assert order_first is not None
    assert order_first.source == "service_request"
    last = choose([], applying=[protocol()]).prescription
    assert last is not None
    assert last.source == "protocol"
    assert choose([]) == Choice()


@pytest.mark.parametrize(
    ("sources", "named"),
    [
        ([stated("plan", LEVELS), stated("service_request", OTHERS)], ("plan", "service_request")),
        ([stated("plan", LEVELS, 35), stated("physician_intent", LEVELS, 33)],
         ("plan", "physician_intent")),
        ([stated("plan", LEVELS), stated("plan", OTHERS, object_id="other")], ("other", "plan")),
        ([stated("plan", LEVELS), stated("physician_intent", {"PTV_7000": 70.0})],
         ("plan", "physician_intent")),
        ([stated("plan", {"A": 70.0, "B": 56.0}),
          stated("service_request", {"A": 56.0, "B": 70.0})], ("plan", "service_request")),
    ],
    ids=["levels", "fractions", "two plans", "fewer levels", "swapped"],
)  # fmt: skip
def test_two_that_contradict_are_named_and_neither_is_used(
    sources: list[Statement], named: tuple[str, str]
) -> None:
    """Precedence never decides a contradiction: a person does, and is told between which two."""
    for turned in (sources, sources[::-1]):
        found = choose(turned)
        assert found.prescription is None
        assert found.fault == "PRESCRIPTION_CONTRADICTION"
        assert {key for _, key in found.named} == set(named)


def test_a_protocol_contradicts_only_where_it_is_named() -> None:
    """A protocol that would apply gives way to the plan; one that the order names does not."""
    other = protocol("other", OTHERS)
    given_way = choose([stated("plan", LEVELS)], [other], [other])
    assert given_way.prescription is not None
    assert (given_way.prescription.source, given_way.prescription.goals) == ("plan", ())
    named = choose([stated("plan", LEVELS, protocols=("other",))], [other], [other])
    assert (named.fault, named.named) == (
        "PRESCRIPTION_CONTRADICTION", (("plan", "plan"), ("protocol", "other")),
    )  # fmt: skip


def test_two_protocols_that_apply_are_a_question() -> None:
    """Nobody chooses between protocols; a plan chooses where one of them has its doses."""
    both = [protocol("one"), protocol("two", OTHERS)]
    assert choose([], both, both).named == (("protocol", "one"), ("protocol", "two"))
    found = choose([stated("plan", LEVELS)], both, both)
    assert found.prescription is not None
    assert found.prescription.protocol == "one"
    doubled = [protocol("one"), protocol("two")]
    same = choose([stated("plan", LEVELS)], doubled, doubled)
    assert same.prescription is not None
    assert same.prescription.goals == ()


def test_what_cannot_be_used_keeps_the_rest_from_being_used() -> None:
    """An unreadable plan might say something else than the order: a person is asked first."""
    broken = Unusable("plan", "1.2.3", "PRESCRIPTION_SHAPE")
    found = choose([broken, stated("service_request", LEVELS)], applying=[protocol()])
    assert (found.prescription, found.fault, found.reason) == (
        None, "PRESCRIPTION_UNUSABLE", "PRESCRIPTION_SHAPE",
    )  # fmt: skip
    assert found.named == (("plan", "1.2.3"),)


def test_what_was_replaced_no_longer_counts() -> None:
    """A plan that names its predecessor, or an order that replaces one, ends the contradiction."""
    first = plan(HEADER, OTHERS)
    second = plan(HEADER, LEVELS, replaces=uid_of(first))
    found = choose([s for data in (first, second) if (s := statement_in(data, STUDY))])
    assert found.prescription is not None
    assert found.prescription.reference == uid_of(second)
    orders = ask(
        order(STUDY, OTHERS) | {"id": "1"},
        order(STUDY, LEVELS, replaces=[{"reference": "ServiceRequest/1"}]) | {"id": "2"},
    )
    chosen = choose(orders).prescription
    assert chosen is not None
    assert chosen.reference == "ServiceRequest/2"


LEVEL_SETS = st.dictionaries(
    st.sampled_from(["PTV_High", "PTV_Mid", "PTV_Low"]), st.floats(20.0, 80.0), min_size=1
)


@settings(max_examples=200, deadline=None)
@given(LEVEL_SETS, LEVEL_SETS)
def test_agreement_is_mutual_and_names_decide(first: Any, second: Any) -> None:
    """Agreement holds both ways, with itself, and never across a named target's other dose."""
    one, two = (stated("plan", levels).prescription for levels in (first, second))
    assert agree(one, one)
    assert agree(one, two) == agree(two, one)
    if agree(one, two):
        assert all(abs(first[name] - second[name]) <= 0.05 for name in first.keys() & second)
