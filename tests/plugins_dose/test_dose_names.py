"""Names of structures as clinics write them become TG-263 names, or a question; never a guess.

Spellings come from structure sets in the test data (OpenKBP, dicompyler, Monaco, rt-utils), from
the names that the VoxTox study met and scikit-rt publishes (``B stem``, ``cord2 for IOV``), and,
for German and Latin, from the words of the vocabulary.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.dose.names import STATUSES, recognise
from plugins.dose.structures import MODEL_ORGANS
from plugins.dose.words import BOTH_OF, PAIRED, SIDES, UNPAIRED, VOCABULARY

MAPPED = {
    "Brainstem": "Brainstem|BRAINSTEM|brain stem|Brain Stem|B stem|bstem|Hirnstamm|BRAINSTEM_|"
    "Truncus cerebri",
    "SpinalCord": "SpinalCord|spinal cord|SPINAL_CORD|Cord|CORD|Myelon|Rückenmark|RUECKENMARK|"
    "Medulla spinalis",
    "Parotid_R": "Parotid R|parotid R|PAROTID_RIGHT|re. Parotis|Parotis re.|RightParotid|"
    "Right PAROTID|R  parotid|Rt parotid|PAROTID_R_|rparotid|ParotidR|Parotis rechts|"
    "Ohrspeicheldrüse rechts|Glandula parotis dextra|Parotid (R)|Right Parotid Gland",
    "Parotid_L": "Parotid_L|L  parotid|LT parotid|Left parotid|LeftParotid|Parotis li|"
    "Parotis_links|"
    "Gl. parotis sin.|lparotid|Lt PAROTID|Parotid Lt|parotid-left|Linke Parotis|PAROTISLINKS",
    "Parotids": "Parotids|Parotis bds.|both parotids|Parotiden",
    "Esophagus": "Esophagus|ESOPHAGUS|Oesophagus|Ösophagus|OESOPHAGUS|Speiseröhre|Esoph",
    "Larynx": "Larynx|LARYNX|Kehlkopf|larynx_",
    "Larynx_SG": "Larynx_SG|Supraglottic Larynx",
    "Bone_Mandible": "Bone_Mandible|Mandible|MANDIBLE|Mandibula|Unterkiefer|Lower Jaw",
    "SpinalCanal": "SpinalCanal|Spinal canal|Spinalkanal|Wirbelkanal",
    "OpticChiasm": "opt chiasm|optic Chiasm|CHIASM|Chiasma",
    "Glnd_Submand_L": "left SMG|L submandibular gland|Submandibular L",
    "Cochlea_R": "COCHLEA RIGHT|Rcochlea|Cochlea Rt",
    "Lung_L": "Lt Lung|Lunge links",
    "External": "BODY|External|Außenkontur|patient",
    "PTV": "PTV|Planungszielvolumen",
    "PTV1": "PTV1|PTV 1|ptv_1",
    "PTV_7000": "PTV70|PTV_7000|PTV 70 Gy|PTV 7000cGy|ptv-70|PTV70.0|PTV70Gy",
    "PTV_6600": "PTV 66 Gy boost|PTV_Boost_66|PTV66 SIB",
    "PTV_5940": "PTV 59.4|PTV59,4Gy|PTV_5940",
    "PTV_High": "PTV_High|PTVhigh|PTV hoch|High Dose PTV",
    "PTV_Mid": "PTV_Mid|PTV intermediate",
    "PTV1_7000": "PTV1 70|PTV1_7000",
    "PTVp_7000": "PTVp_7000|PTV Primarius 70",
    "PTVn_5400": "PTVn 54|PTV LK 54 Gy|PTV_nodes_5400",
    "PTVn_L_5040": "PTV LK li 50.4",
}
OTHERS = {
    "excluded PRV": "left parotid PRV|PRV RT parotid|SpinalCord_PRV05|Myelon PRV 5mm|Stem PRV|"
    "Brrainstem PRV|PRVBrainstem|b stemPRV|Chiasm PRV",
    "excluded HELPER": "Ring|Ring 2cm|Ring_PTV70|Parotid L opt|Cochlea L OPT|PTV opt|PTV_Eval|"
    "zPTV70|z_Parotid_L|zParotid_R|Hilfe1|Hilfsstruktur|Dummy|Parotid L minus PTV|Isodose 95|"
    "Parotid_L_old|Parotis li alt|virtual bolus|Myelon Hilf",
    "excluded DERIVED": "Parotid_L-PTV|Parotis re - PTV70|Larynx -PTV|BODY-PTV",
    "excluded MARGIN": "Cord+5mm|Myelon 5mm|Cord + 3|Brainstem 3 mm",
    "excluded CTV": "CTV70|CTV|CTV_High|ctv 66",
    "excluded GTV": "GTV|GTVp|GTV_70",
    "excluded ITV": "ITV",
    "ambiguous SIDE_MISSING": "Parotis|Parotid|parotid gland|Cochlea",
    "ambiguous SIDE_UNEXPECTED": "right mandible|Mandible (L)|Cord L|Parotid L+R|left parotid R",
    "ambiguous NUMBERED": "PAROTID_L1|cord 2|Left SMG 2|Larynx 1",
    "ambiguous TWO_STRUCTURES": "PTV70-Parotid_L|PTV Parotis re 66|CTV_PTV|Cord Brainstem|"
    "PTV li re",
    "ambiguous QUALIFIED": "~Parotid_L|Parotid_L^MD|Parotid~_L|PTV!_7000",
    "ambiguous DOSE_UNCLEAR": "PTV 70/63|PTV_594|PTV70_2|PTV 12|PTV-03|PTV 70 high|PTV 2.12",
    "ambiguous BOOST_DOSE": "PTV 10Gy Boost|PTV boost 20",
    "ambiguous MARGIN": "PTV70+3mm|PTV 5mm",
    "not_recognised UNKNOWN_WORD": "PAROTID_L_SP|L parotid b|BRAINSTEM_SP|Mandible edit|"
    "cord2 for IOV|left parotid 2 for IOV|L cochlea2 x|PTV HR|PTV high risk",
    "not_recognised NO_NAME": "Tumor Bed|Areola|Scar|Nodes|ANT Box|Number4|ROI-1|LoPo|PossibleDose|"
    "SC|L||???|腮腺|brainstemsjj|L cochlear|r cochlear|PTVboostx",
}


def pairs(table: dict[str, str]) -> list[tuple[str, str]]:
    """Return (spelling, expected) of a table."""
    return [(name, expected) for expected, names in table.items() for name in names.split("|")]


@pytest.mark.parametrize(("name", "tg263"), pairs(MAPPED))
def test_a_spelling_is_understood(name: str, tg263: str) -> None:
    """Each spelling gives the TG-263 name, without a reason to ask."""
    found = recognise(name)
    assert (found.status, found.tg263, found.code) == ("mapped", tg263, "")


@pytest.mark.parametrize(("name", "expected"), pairs(OTHERS))
def test_a_spelling_is_no_input(name: str, expected: str) -> None:
    """What is no structure of its own, or might be two, is never mapped and says why."""
    found = recognise(name)
    assert f"{found.status} {found.code}" == expected
    assert found.tg263 == ""


def test_the_table_is_as_long_as_promised() -> None:
    """At least sixty spellings are understood, and sixty are not mapped for a stated reason."""
    assert len(pairs(MAPPED)) >= 60
    assert len(pairs(OTHERS)) >= 60


def test_what_it_might_be_is_said() -> None:
    """A person who is asked sees between what the software does not choose."""
    assert recognise("Parotis").candidates == ("Parotid_L", "Parotid_R")
    assert recognise("Mandible edit").candidates == ("Bone_Mandible",)


WORDS = st.sampled_from(sorted(VOCABULARY))
STYLES = st.sampled_from([str.upper, str.lower, str.title, str.capitalize])
JOINTS = st.sampled_from([" ", "_", "  ", "-", ". ", "__"])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_writing_it_otherwise_changes_nothing(data: st.DataObject) -> None:
    """Case, separators and the order of side and organ do not change what a name means."""
    organ = data.draw(st.sampled_from(sorted(PAIRED)))
    spelling = data.draw(st.sampled_from(PAIRED[organ].split()))
    side = data.draw(st.sampled_from("LR"))
    word = data.draw(st.sampled_from(SIDES[side].split()))
    parts = data.draw(st.permutations([spelling, word]))
    style, joint = data.draw(STYLES), data.draw(JOINTS)
    found = recognise(joint.join(style(part) for part in parts))
    assert found.tg263 == f"{organ}_{side}"


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.lists(WORDS, max_size=4).map(" ".join))
def test_any_text_gives_a_status_and_at_most_one_name(name: str) -> None:
    """Whatever is written, the answer is one of four, and only a mapped one has a name."""
    found = recognise(name)
    assert found.status in STATUSES
    assert bool(found.tg263) == (found.status == "mapped") == (found.code == "")
    assert found.dose_gy is None or (found.is_target and 0.0 < found.dose_gy <= 200.0)


@settings(max_examples=300, deadline=None)
@given(WORDS, st.text("abcdefghijklmnopqrstuvwxyz", min_size=5, max_size=9))
def test_a_word_that_is_not_known_is_never_ignored(word: str, strange: str) -> None:
    """One word that is not understood keeps any name from being used."""
    if any(strange[:cut] in VOCABULARY or strange[cut:] in VOCABULARY for cut in range(10)):
        return
    assert recognise(f"{word} {strange}").status != "mapped"


@settings(max_examples=200, deadline=None)
@given(st.integers(200, 900))
def test_gray_and_centigray_are_one_dose(tenths: int) -> None:
    """59.4, 59,4, 59.4Gy, 5940 and 5940 cGy are the same target."""
    gray, centigray = tenths / 10, tenths * 10
    written = [f"PTV {gray}", f"PTV{gray}Gy", f"PTV_{gray} gy".replace(".", ",")]
    written += [f"PTV {centigray} cGy"] + ([f"PTV_{centigray}"] if centigray <= 9000 else [])
    for name in written:
        found = recognise(name)
        assert found.tg263 == f"PTV_{centigray:04d}"
        assert found.dose_gy == pytest.approx(gray)


def test_every_tg263_name_is_understood_as_itself() -> None:
    """What this writes, it reads: names out are names in."""
    names = [*UNPAIRED, *BOTH_OF, *(f"{name}_{side}" for name in PAIRED for side in "LR")]
    assert {name: recognise(name).tg263 for name in names} == {name: name for name in names}
    assert set(MODEL_ORGANS) <= set(names)
