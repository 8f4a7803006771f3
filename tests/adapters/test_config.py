"""The configuration: typed, nothing unknown accepted, secrets hidden."""

import json
from pathlib import Path

import pytest

from adapters.config import load, shown
from audit.errors import ConfigurationError

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "docs" / "examples").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid(path: Path) -> None:
    """The commented examples can be used as they stand."""
    assert load(path, {}).pacs


def test_there_are_five_examples() -> None:
    """Orthanc, a DICOMweb PACS, a DIMSE-only site, sign-in at a provider, who hears alarms."""
    names = ["dicomweb", "dimse", "monitoring", "oidc", "orthanc"]
    assert [path.stem for path in EXAMPLES] == names


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("deputy_after_hours = 48\ncompliance_after_hours = 24\n", "after the deputy"),
        ("[monitoring.addresses]\nanna = 'anna@hospital.example'\n", "mailto"),
        ("[monitoring.duties.surgeon]\nowner = 'anna'\n", "surgeon"),
    ],
)
def test_duties_that_cannot_be_met_are_refused(tmp_path: Path, text: str, fault: str) -> None:
    """Times out of order, an address without its way, a role that owns nothing."""
    path = tmp_path / "osteon.toml"
    path.write_text(f"[monitoring]\n{text}")
    with pytest.raises(ConfigurationError, match=fault):
        load(path, {})


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("[site]\nnmae = 'x'\n", "'name'"),
        ("[trigger]\nquiet_time = 3\n", "'quiet_time_s'"),
        ("[answers]\nrefusal = false\n", "'refusals'"),
        ("[limit]\ninput_mb = 3\n", "'limits'"),
        ("[[pacs]]\nname='a'\nkind='orthanc'\nurl='x'\npasword='y'\n", "'password'"),
    ],
)
def test_unknown_key_names_the_nearest(tmp_path: Path, text: str, near: str) -> None:
    """An unknown key is refused and the nearest right name is given."""
    path = tmp_path / "osteon.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="did you mean") as caught:
        load(path, {})
    assert near in str(caught.value)


def test_missing_needs_are_named(tmp_path: Path) -> None:
    """An archive without the address that its kind needs is refused."""
    path = tmp_path / "osteon.toml"
    path.write_text("[[pacs]]\nname='a'\nkind='dicomweb'\n")
    with pytest.raises(ConfigurationError, match="needs url"):
        load(path, {})


def test_target_must_name_a_known_archive(tmp_path: Path) -> None:
    """A target that names an archive that does not exist is refused."""
    path = tmp_path / "osteon.toml"
    path.write_text("[[targets]]\nname='t'\nkind='pacs'\npacs='nowhere'\n")
    with pytest.raises(ConfigurationError, match="unknown pacs 'nowhere'"):
        load(path, {})


@pytest.mark.parametrize("section", ["seeds", "prescriptions"])
def test_sections_must_name_a_fhir_server(tmp_path: Path, section: str) -> None:
    """Only a target of kind fhir can be asked for a seed point or a prescription."""
    path = tmp_path / "osteon.toml"
    target = "[[targets]]\nname='t'\nkind='fhir-folder'\npath='/tmp/x'\n"
    path.write_text(f"[{section}]\nfhir='t'\n{target}")
    with pytest.raises(
        ConfigurationError, match=rf"{section}\.fhir names no target of kind fhir: 't'"
    ):
        load(path, {})


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    """A variable with two underscores between levels replaces the file's value."""
    path = tmp_path / "osteon.toml"
    path.write_text("[web]\nport = 8080\n")
    assert load(path, {"OSTEON__WEB__PORT": "9000"}).web.port == 9000


def test_secrets_never_show(tmp_path: Path) -> None:
    """`config show` prints no password and no token."""
    configuration = load(EXAMPLES[-1], {"OSTEON__WEB__METRICS_TOKEN": "hush-metrics"})
    text = json.dumps(shown(configuration)) + repr(configuration)
    assert "change-me" not in text
    assert "hush" not in text


def test_broken_toml_is_named(tmp_path: Path) -> None:
    """A file that is not TOML is refused with the place of the fault."""
    path = tmp_path / "osteon.toml"
    path.write_text("[site\n")
    with pytest.raises(ConfigurationError, match="expected TOML"):
        load(path, {})


@pytest.mark.parametrize("other", ["vault_url", "engine_url"])
def test_three_databases_are_three(other: str) -> None:
    """One database for two purposes is refused: their tables would meet."""
    url = "postgresql+psycopg://osteon:secret@db.example/site"
    again = "postgresql+psycopg://another@db.example/site"
    with pytest.raises(ConfigurationError, match="three are needed") as caught:
        load(None, {"OSTEON__DATABASE__URL": url, f"OSTEON__DATABASE__{other.upper()}": again})
    assert "secret" not in str(caught.value)
    apart = load(
        None, {"OSTEON__DATABASE__URL": url, f"OSTEON__DATABASE__{other.upper()}": url[:-4]}
    )
    assert apart.database.url.get_secret_value() == url
