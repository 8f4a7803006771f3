"""Model cards: three exports of one source, with the same numbers, in their public forms."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from governance import accuracy
from governance.cards.aid_rt import SECTIONS, aid_rt, missing_fields
from governance.cards.chai import NAMESPACE, chai_xml
from governance.cards.facts import MISSING, RESEARCH, card_facts
from governance.cards.readable import readable_card
from governance.declaration import CeMarking
from governance.report import numbers
from governance.technical_file.contents_evidence import figures
from governance.technical_file.sources import nothing
from tests.simulators.papers import TODAY, complete, measured, small_release, sources_of

VECTORS = Path(__file__).parents[1] / "vectors/model_cards"
RELEASE = small_release()
SOURCES = sources_of(RELEASE, complete(RELEASE))
FACTS = card_facts(SOURCES)
EMPTY = card_facts(nothing(TODAY))
DS = "{http://www.w3.org/2000/09/xmldsig#}"
XS = "{http://www.w3.org/2001/XMLSchema}"


def _schema() -> Any:
    """Return the public schema, without the optional signature that it fetches from elsewhere."""
    etree = pytest.importorskip("lxml.etree")
    parser = etree.XMLParser(no_network=True, resolve_entities=False)
    tree = etree.parse(str(VECTORS / "chai-v0.2.xsd"), parser)
    for element in tree.getroot().iter(f"{XS}import", f"{XS}element"):
        if element.tag == f"{XS}import" or element.get("ref") == "ds:Signature":
            element.getparent().remove(element)
    return etree.XMLSchema(tree)


@pytest.mark.reg("AIDRT-1")
@pytest.mark.parametrize("facts", [FACTS, EMPTY], ids=["complete", "empty"])
def test_the_xml_is_valid_by_the_public_schema(facts: Any) -> None:
    """CHAI's own XSD v0.2 accepts the card, whole or with every text missing."""
    etree = pytest.importorskip("lxml.etree")
    schema = _schema()
    assert schema.validate(etree.fromstring(chai_xml(facts))), schema.error_log
    wrong = chai_xml(facts).replace(b"ModelName", b"Name")
    assert not schema.validate(etree.fromstring(wrong))


@pytest.mark.reg("AIDRT-1")
def test_a_foreign_card_is_valid_by_the_same_schema() -> None:
    """An example of the schema's own authors is accepted: it is the right schema."""
    etree = pytest.importorskip("lxml.etree")
    assert _schema().validate(etree.parse(str(VECTORS / "chai-example.xml")))


@pytest.mark.reg("AIDRT-1")
def test_the_aid_rt_card_has_every_required_field() -> None:
    """All six sections are there, with each field that the template requires of segmentation."""
    card = aid_rt(FACTS)
    required = json.loads((VECTORS / "aid-rt-required.json").read_text("utf-8"))
    assert tuple(required) == SECTIONS
    for section, names in required.items():
        flat = set(card[section]) | {
            inner for value in card[section].values() if isinstance(value, dict) for inner in value
        }
        assert set(names) <= flat, (section, sorted(set(names) - flat))


@pytest.mark.reg("AIDRT-1")
def test_the_numbers_are_the_same_in_every_export() -> None:
    """JSON, XML and page state value and interval of each figure as the report does."""
    wanted = {
        (group["name"], figure["value"], figure["low"], figure["high"])
        for group in measured(RELEASE)["groups"]
        if group["n"] >= 8
        for figure in group["figures"].values()
    }
    card = aid_rt(FACTS)["evaluation_data_methodology_results_commisioning"]
    rows = [*card["mean_data_gm_seg"], *card["by_group"]]
    in_json = {(r["group"], r["value"], r["low"], r["high"]) for r in rows if "value" in r}
    root = ElementTree.fromstring(chai_xml(FACTS))
    space = f"{{{NAMESPACE}}}"
    in_xml = set()
    for result in root.iter(f"{space}MetricResult"):
        value = json.loads(result.findtext(f"{space}ValueJson") or "{}")
        label = str(result.findtext(f"{space}Label")).rpartition(", ")[2]
        if value["kind"] == "estimate_ci":
            in_xml.add((label, value["estimate"], value["lower"], value["upper"]))
    on_page = {(n.value, n.low, n.high) for n in numbers(readable_card(FACTS, "en")) if n.low}
    assert in_json == in_xml == wanted
    assert on_page == {row[1:] for row in wanted}
    assert aid_rt(FACTS)["report_sha256"] == measured(RELEASE)["report_sha256"]


def test_too_small_a_group_is_named_in_every_export() -> None:
    """Minors stand in JSON and XML as insufficient, with their number and no estimate."""
    rows = aid_rt(FACTS)["evaluation_data_methodology_results_commisioning"]["by_group"]
    (minors,) = [row for row in rows if row["group"] == "under 18"]
    assert minors["verdict"] == "insufficient"
    assert "value" not in minors
    assert '"value": "insufficient", "n": 2' in chai_xml(FACTS).decode()


def test_an_empty_card_says_missing_everywhere() -> None:
    """Without sources no text is invented: required fields hold MISSING or the research notice."""
    root = ElementTree.fromstring(chai_xml(EMPTY))
    texts = {element.text for element in root.iter() if element.text and element.text.strip()}
    plain = {text for text in texts if not text.startswith("{")}
    assert plain <= {MISSING, RESEARCH, "radiotherapy", f"{MISSING} ({MISSING})"}
    assert len(missing_fields(aid_rt(EMPTY))) > 40


def test_the_stage_is_research_unless_ce_may_be_shown() -> None:
    """A card says CE only where the marking was granted by its caller."""
    marked = card_facts(SOURCES, CeMarking("Body (0123)", "NB-1", "D"))
    assert RESEARCH.encode() in chai_xml(FACTS)
    assert RESEARCH.encode() not in chai_xml(marked)
    assert b"CE Body (0123)" in chai_xml(marked)


def test_hostile_text_stays_text() -> None:
    """Markup and control characters in a source do not become markup of the card."""
    release = small_release(title='<evil attr="1">&\x00\x1b</evil>')
    facts = card_facts(sources_of(release, complete(release)))
    root = ElementTree.fromstring(chai_xml(facts))
    assert root.findtext(f".//{{{NAMESPACE}}}ModelName") == '<evil attr="1">&</evil>'


def test_the_same_facts_give_the_same_bytes() -> None:
    """Cards are deterministic, so that a digest names their content."""
    again = card_facts(sources_of(RELEASE, complete(RELEASE)))
    assert chai_xml(again) == chai_xml(FACTS)
    assert aid_rt(again) == aid_rt(FACTS)
    assert figures(*_measured()) == figures(*_measured())


def _measured() -> tuple[Any, Any]:
    found = accuracy.read_accuracy(measured(RELEASE))
    return found, found.groups
