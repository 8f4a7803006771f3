"""The words that names of structures are made of, in English, German and Latin.

A word here is written as it is compared: case and diacritics folded, without separators, so
that ``Brain Stem``, ``BRAIN_STEM`` and ``BrainStem`` are one.  What is not here is not
understood, and a name with it goes to a person.

Standard: AAPM TG-263 (Mayo et al. 2018, Int J Radiat Oncol Biol Phys 100:1057), names of
structures and of targets.

Read next: `names.py`.
"""

from __future__ import annotations

from typing import NamedTuple

UNPAIRED = {
    "Brainstem": "brainstem bstem hirnstamm stammhirn truncuscerebri",
    "SpinalCord": "spinalcord cord spinecord myelon ruckenmark rueckenmark medullaspinalis",
    "SpinalCanal": "spinalcanal spinalkanal canalisspinalis wirbelkanal",
    "Esophagus": "esophagus oesophagus osophagus esoph oesoph speiserohre speiseroehre",
    "Larynx": "larynx kehlkopf",
    "Larynx_SG": "supraglotticlarynx larynxsg larynxsupraglottic supraglottis",
    "Glottis": "glottis glotticlarynx larynxglottic",
    "Bone_Mandible": "mandible mandibula mandibule unterkiefer lowerjaw bonemandible",
    "Brain": "brain gehirn hirn cerebrum",
    "Cavity_Oral": "oralcavity cavityoral mundhohle mundhoehle cavumoris",
    "OpticChiasm": "opticchiasm chiasm chiasma optchiasm chiasmaopticum optchiasma",
    "Pituitary": "pituitary hypophyse hypophysis pituitarygland",
    "Glnd_Thyroid": "thyroid schilddruse schilddruese glndthyroid thyroidgland",
    "Trachea": "trachea luftrohre luftroehre",
    "Lips": "lips lippen",
    "Musc_Constrict": "musconstrict muscconstrict pharyngealconstrictor pharyngealconstrictors "
    "pharynxkonstriktor pharynxkonstriktoren",
    "Skin": "skin haut",
    "External": "external body patient outline bodyoutline aussenkontur koerperkontur "
    "korperkontur korper koerper",
}
"""TG-263 name -> how it is written, of structures that a patient has once."""

PAIRED = {
    "Parotid": "parotid parotis parotisdruse parotisdruese ohrspeicheldruse ohrspeicheldruese "
    "parotidgland glndparotid glparotid glparotis glandulaparotis glandulaparotidea parotidea",
    "Glnd_Submand": "submandibular submandibulargland smg glndsubmand submand submandibularis "
    "glsubmandibularis glandulasubmandibularis unterkieferspeicheldruse "
    "unterkieferspeicheldruese",
    "Cochlea": "cochlea",
    "Eye": "eye globe auge bulbus",
    "Lens": "lens linse",
    "OpticNrv": "opticnerve opticnrv sehnerv nopticus optnerve nervusopticus",
    "Lung": "lung lunge pulmo",
}
"""TG-263 name without its side -> how it is written, of structures with a left and a right."""

BOTH_OF = {
    "Parotids": "parotids parotiden",
    "Glnd_Submands": "glndsubmands submandibulars submandibularglands",
    "Lungs": "lungs lungen",
    "Eyes": "eyes globes augen",
    "Lenses": "lenses linsen",
}
"""TG-263 name of both -> words that mean both by themselves."""

PLURALS = {
    "Parotid": "Parotids",
    "Glnd_Submand": "Glnd_Submands",
    "Lung": "Lungs",
    "Eye": "Eyes",
    "Lens": "Lenses",
    "Cochlea": "Cochleas",
    "OpticNrv": "OpticNrvs",
}

SIDES = {
    "L": "l lt left li lks links linke linker sin sinistra sinister",
    "R": "r rt right re rts rechts rechte rechter dex dext dextra dexter",
}
BOTH = "both bds beide beider beidseits bilat bilateral"
"""Side words; the patient's sides, as everywhere in medicine."""

HELPERS = (
    "ring ringe shell opt opti optim optimization optimisation optimierung help helper hilfe hilf "
    "hilfs hilfsstruktur hilfskontur dummy avoid avoidance tune tuning isodose iso "
    "isodosis eval evl crop cropped sub minus without ohne old alt copy kopie test temp tmp bolus "
    "couch tisch artefact artifact artefakt"
)
"""What optimisation, display or an earlier version needed, and is no structure of the patient."""

PLANNING_RISK = "prv"
GROSS_OR_CLINICAL = {
    "GTV": "gtv gtvp gtvn igtv gtvs",
    "CTV": "ctv ctvp ctvn ctvsb ctvs",
    "ITV": "itv itvp itvn",
}
PLANNING = {"": "ptv planungszielvolumen planningtargetvolume", "p": "ptvp", "n": "ptvn"}
"""Classifier -> words: ``PTVp`` is the primary's, ``PTVn`` the nodes'."""
CLASSIFIERS = {
    "p": "p primary primarius primartumor primaertumor tumor tumour",
    "n": "n node nodes nodal ln lk lymphknoten lymphnodes lymphnode",
}
LEVELS = {"High": "high hoch", "Mid": "mid med medium mittel intermediate", "Low": "low niedrig"}
"""Relative dose levels.  *High risk* is none: some sites call the second level so."""
BOOST = "boost sib"
FILLERS = (
    "gland glandula gl glnd organ oar druse druese speicheldruse speicheldruese structure "
    "dose dosis"
)
UNITS = {"Gy": "gy gray", "cGy": "cgy", "mm": "mm", "cm": "cm"}


class Word(NamedTuple):
    """What a word is, and what it stands for."""

    kind: str
    value: str


def _collected() -> dict[str, Word]:
    tables: tuple[tuple[str, dict[str, str]], ...] = (
        ("unpaired", UNPAIRED),
        ("paired", PAIRED),
        ("both_of", BOTH_OF),
        ("side", SIDES),
        ("side", {"both": BOTH}),
        ("helper", {"": HELPERS}),
        ("prv", {"": PLANNING_RISK}),
        ("other_target", GROSS_OR_CLINICAL),
        ("target", PLANNING),
        ("classifier", CLASSIFIERS),
        ("level", LEVELS),
        ("boost", {"": BOOST}),
        ("filler", {"": FILLERS}),
        ("unit", UNITS),
    )
    found: dict[str, Word] = {}
    for kind, table in tables:
        for value, words in table.items():
            for word in words.split():
                if word in found:
                    raise ValueError(f"expected one meaning of {word}, found two")
                found[word] = Word(kind, value)
    return found


VOCABULARY = _collected()
STRUCTURES = ("unpaired", "paired", "both_of", "target", "other_target")
"""Kinds that name something; the rest only says more about it."""
