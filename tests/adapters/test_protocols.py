"""A protocol file says doses and goals with their sources, or what is wrong with it and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.prescriptions.protocols import load_protocol, load_protocols
from audit.errors import ConfigurationError

EXAMPLE = Path(__file__).parents[2] / "docs/examples/protocols/head-neck-70-63-56.toml"
TEXT = EXAMPLE.read_text("utf-8")
NECK = {"BodyPartExamined": "HEADNECK"}


def written(folder: Path, *changes: tuple[str, str], name: str = "site.toml") -> Path:
    """Return the example with changes, each of which must have found its place."""
    text = TEXT
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_the_example_is_a_protocol_marked_as_example() -> None:
    """Three levels, 35 fractions, goals for every organ of the model, each with its source."""
    protocol = load_protocol(EXAMPLE)
    prescription = protocol.prescription()
    assert [(item.roi_name, item.dose_gy) for item in prescription.targets] == [
        ("PTV_7000", 70.0), ("PTV_6300", 63.0), ("PTV_5600", 56.0),
    ]  # fmt: skip
    assert (prescription.source, prescription.fraction_count) == ("protocol", 35)
    assert (prescription.reference, prescription.protocol) == (protocol.name, protocol.name)
    assert protocol.is_example
    organs = {goal.structure for goal in protocol.goals if goal.structure[:3] != "PTV"}
    assert organs == {
        *("Brainstem", "SpinalCord", "Parotid_L", "Parotid_R"),
        *("Larynx", "Esophagus", "Bone_Mandible"),
    }
    assert {goal.source.split()[0].strip(":") for goal in protocol.goals} == {
        "ICRU",
        "QUANTEC",
        "RTOG",
    }


def test_a_protocol_applies_where_one_series_fulfils_every_rule(tmp_path: Path) -> None:
    """Rules on two keywords hold for one series together; without rules it never applies."""
    rule = (
        '[[when]]\nkeyword = "StudyDescription"\noperator = "contains"\nvalue = "SIB"\n\n[[when]]'
    )
    both = load_protocol(written(tmp_path, ("[[when]]", rule)))
    assert load_protocol(EXAMPLE).applies([{}, NECK])
    assert not load_protocol(EXAMPLE).applies([{"BodyPartExamined": "PELVIS"}])
    assert both.applies([NECK | {"StudyDescription": "CT neck SIB"}])
    assert not both.applies([NECK, {"StudyDescription": "CT neck SIB"}])
    start, end = TEXT.index("[[when]]"), TEXT.index("[[goals]]")
    unruled = tmp_path / "unruled.toml"
    unruled.write_text(TEXT[:start] + TEXT[end:], "utf-8")
    assert not load_protocol(unruled).applies([NECK, {}])


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ('schema = "osteon.protocol/1"', 'schema = "osteon.protocol/2"', "schema"),
        ('name = "head-neck-70-63-56"', 'name = "Head & neck"', "name"),
        ('\nstatus = "example"', '\nstatus = "draft"', "status"),
        ("fractions = 35", "fractions = 350", "fractions"),
        ("fractions = 35", "fraction = 35", "fraction"),
        ("dose_gy = 70.0", "dose_gy = 7000.0", "200 Gy"),
        ("dose_gy = 70.0", 'dose_gy = "seventy"', "targets.0.dose_gy"),
        ('name = "PTV_6300"', 'name = "PTV_7000"', "twice"),
        ('metric = "D95%[Gy]"', 'metric = "D95"', "metric like"),
        ('relation = "at_least"', 'relation = ">="', "goals.0.relation"),
        ("limit = 66.5", "limit = -1.0", "goal"),
        ('source = "RTOG 0225 (Lee et al. 2009, J Clin Oncol 27:3684)"', 'source = ""', "source"),
        ('operator = "in"', 'operator = "like"', "when.0.operator"),
        ('value = ["HEADNECK", "HEAD_NECK", "NECK"]', "", "BodyPartExamined"),
        ("[[targets]]", "[[targets", "TOML"),
    ],
)
def test_a_fault_is_named_with_file_and_key(
    tmp_path: Path, before: str, after: str, named: str
) -> None:
    """Whoever wrote the file reads which file, which key and what was expected."""
    with pytest.raises(ConfigurationError) as caught:
        load_protocol(written(tmp_path, (before, after)))
    assert "site.toml" in str(caught.value)
    assert named in str(caught.value)
    assert "docs/" in caught.value.advice


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A path that leads nowhere, or bytes that are no text, are configuration faults."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml"):
        load_protocol(tmp_path / "nowhere.toml")
    (tmp_path / "noise.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"noise\.toml"):
        load_protocol(tmp_path / "noise.toml")


def test_names_and_codes_belong_to_one_protocol(tmp_path: Path) -> None:
    """Two files with one name, or with one code, could not be told apart by an order."""
    name = ('name = "head-neck-70-63-56"', 'name = "other"')
    code = ('codes = ["HN-SIB-70"]', 'codes = ["HN-66"]')
    other = written(tmp_path, name, code, name="other.toml")
    assert [item.name for item in load_protocols([EXAMPLE, other])] == [
        "head-neck-70-63-56",
        "other",
    ]
    with pytest.raises(ConfigurationError, match="twice"):
        load_protocols([EXAMPLE, written(tmp_path)])
    with pytest.raises(ConfigurationError, match="HN-SIB-70"):
        load_protocols([EXAMPLE, written(tmp_path, name, name="third.toml")])
