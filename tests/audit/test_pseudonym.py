"""Pseudonyms: stable, keyed, salted, and gone when the salt is gone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.database.vault import SqliteVault
from audit.errors import ConfigurationError, NotFoundError
from audit.keys import read_secret, symmetric_key, write_secret
from audit.pseudonym import Pseudonyms, age_band, short

STUDY = "1.2.276.0.7230010.3.1.2.1"
OTHER = "1.2.276.0.7230010.3.1.2.2"


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[SqliteVault]:
    """An empty vault."""
    vault = SqliteVault(tmp_path / "vault.db")
    yield vault
    vault.close()


@pytest.fixture
def pseudonyms(vault: SqliteVault) -> Pseudonyms:
    """Pseudonyms of one site."""
    return Pseudonyms(b"\x01" * 32, vault)


def test_uid_pseudonym_is_a_valid_uid_and_stable(pseudonyms: Pseudonyms) -> None:
    """The same UID has the same pseudonym: a UID under 2.25 of at most 44 characters."""
    first = pseudonyms.uid(STUDY, "1.2.3.4.5")
    assert first == pseudonyms.uid(STUDY, "1.2.3.4.5")
    assert first.startswith("2.25.")
    assert len(first) <= 44
    assert pseudonyms.reveal(first) == "1.2.3.4.5"


def test_pseudonyms_depend_on_study_key_and_salt(vault: SqliteVault, tmp_path: Path) -> None:
    """Another study, another key or another vault gives another pseudonym."""
    other_vault = SqliteVault(tmp_path / "other.db")
    made = {
        Pseudonyms(b"\x01" * 32, vault).uid(STUDY, "1.2"),
        Pseudonyms(b"\x01" * 32, vault).uid(OTHER, "1.2"),
        Pseudonyms(b"\x02" * 32, vault).uid(STUDY, "1.2"),
        Pseudonyms(b"\x01" * 32, other_vault).uid(STUDY, "1.2"),
    }
    other_vault.close()
    assert len(made) == 4


def test_patient_is_one_subject_over_studies(pseudonyms: Pseudonyms) -> None:
    """Two studies of a patient have one subject; the same number elsewhere is another."""
    assert pseudonyms.subject(STUDY) == "not-evaluated"
    first = pseudonyms.enrol(STUDY, "4711", "HOSPITAL-A")
    assert pseudonyms.enrol(OTHER, "4711", "HOSPITAL-A") == first
    assert pseudonyms.subject(STUDY) == pseudonyms.subject(OTHER) == first
    assert pseudonyms.enrol(OTHER, "4711", "HOSPITAL-B") != first
    assert "4711" not in first


def test_erased_patient_cannot_be_linked_again(
    pseudonyms: Pseudonyms, vault: SqliteVault, tmp_path: Path
) -> None:
    """After erasure no pseudonym leads back, and none is made again the same."""
    subject = pseudonyms.enrol(STUDY, "4711")
    study = pseudonyms.uid(STUDY, STUDY)
    pseudonyms.enrol(OTHER, "4712")
    kept = pseudonyms.uid(OTHER, OTHER)
    assert pseudonyms.erase("4711") == 4
    for pseudonym in (subject, study):
        with pytest.raises(NotFoundError):
            pseudonyms.reveal(pseudonym)
    assert pseudonyms.uid(STUDY, STUDY) != study
    assert pseudonyms.enrol(STUDY, "4711") != subject
    assert pseudonyms.reveal(kept) == OTHER
    assert pseudonyms.erase("4713") == 0


def test_erased_identity_is_not_left_on_the_disk(
    pseudonyms: Pseudonyms, vault: SqliteVault, tmp_path: Path
) -> None:
    """The bytes of an erased patient are in none of the vault's files."""
    pseudonyms.enrol(STUDY, "PID-47110815")
    pseudonyms.erase("PID-47110815")
    for path in tmp_path.iterdir():
        assert b"PID-47110815" not in path.read_bytes(), path.name


def test_vault_is_for_its_owner_alone(vault: SqliteVault, tmp_path: Path) -> None:
    """The vault's files cannot be read by others, and the vault keeps what it had."""
    vault.salt("study:1")
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}
    again = SqliteVault(tmp_path / "vault.db")
    assert again.salt("study:1") == vault.salt("study:1") != vault.salt("study:2")
    again.close()


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (0.0, "0-9"),
        (9.99, "0-9"),
        (10, "10-17"),
        (17.99, "10-17"),
        (18, "18-39"),
        (64.5, "40-64"),
        (65, "65+"),
        (101, "65+"),
        (None, "not-evaluated"),
        (-1, "not-evaluated"),
        (float("nan"), "not-evaluated"),
    ],
)
def test_age_is_coarse(age: float | None, band: str) -> None:
    """An age leaves as a band; an unknown or absurd one as not evaluated."""
    assert age_band(age) == band


def test_short_names_a_uid_without_telling_it() -> None:
    """The short digest has 12 hexadecimal digits and holds nothing of the UID."""
    assert short("1.2.840.10008.1.1") == short("1.2.840.10008.1.1")
    assert len(short(STUDY)) == 12
    assert int(short(STUDY), 16) >= 0


def test_key_file_is_made_once(tmp_path: Path) -> None:
    """A symmetric key is made at the first call, kept, and refused when others can read it."""
    path = tmp_path / "pseudonym.key"
    key = symmetric_key(path)
    assert symmetric_key(path) == key
    assert len(key) == 32
    with pytest.raises(ConfigurationError, match="found one"):
        write_secret(path, "x")
    path.chmod(0o604)
    with pytest.raises(ConfigurationError, match="0604"):
        symmetric_key(path)
    path.chmod(0o600)
    path.write_text("zz")
    with pytest.raises(ConfigurationError, match="hexadecimal"):
        symmetric_key(path)
    with pytest.raises(ConfigurationError, match="found none"):
        read_secret(tmp_path / "absent.key")
