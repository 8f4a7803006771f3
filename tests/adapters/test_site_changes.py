"""What changes a site is on record with the change itself: releases and accounts."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.compose import Site, create_site, open_site, utc_now
from adapters.database.site_records import SiteRecords
from adapters.home import Home
from adapters.keys import load_keys
from adapters.passwords import add_account, change_password, disable_account
from adapters.published import sign_bundle
from adapters.release_builder import build_release
from audit.errors import AuthenticationError, ConfigurationError, LogUnavailableError
from audit.record import Record, decode
from tests.simulators.example_site import configuration

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of the example plugin, unsigned."""
    return build_release("example", tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An empty site."""
    with open_site(Home(tmp_path / "home").create(), configuration=configuration(tmp_path)) as made:
        yield made


def records(site: Site, kind: str) -> list[Record]:
    """Return the records of a kind, all of them in the tree."""
    site.seal()
    with site.database.reading() as transaction:
        leaves = transaction.leaves(0, transaction.tree_size())
        return [decode(leaf.leaf) for leaf in leaves if leaf.kind == kind]


def test_a_release_that_comes_is_recorded_once(site: Site, bundle: Path) -> None:
    """Who brought which release under whose signature is on record; again adds nothing."""
    signed = sign_bundle(site.keys, bundle, site.now())
    add_account(site, "erik", "engineer")
    for _ in range(2):
        digest = site.registry.add(signed, person="account:erik").digest
    (record,) = records(site, "release")
    assert record.release_digest == digest
    assert (record.actor.id, record.actor.role) == ("account:erik", "engineer")
    assert record.body["action"] == "add"
    assert (record.body["plugin"], record.body["version"]) == ("example", "1.0.0")
    assert record.body["signed_by"] == load_keys(site.home, utc_now()).release_key_id


def test_a_release_without_a_signature_says_so(site: Site, tmp_path: Path) -> None:
    """What was taken without a signature is on record as unsigned."""
    site.registry.add(build_release("example", tmp_path), signed=False)
    assert [item.body["signed_by"] for item in records(site, "release")] == ["unsigned"]


class Unrecordable(SiteRecords):
    """A journal that cannot write."""

    def __init__(self) -> None:
        """Have nothing to write into."""

    def account(self, *_: object) -> str:
        """Fail."""
        raise LogUnavailableError("expected to write a record, found no room")

    release = account


class Unwritable:
    """The books of a site whose journal cannot write."""

    def __init__(self, site: Site) -> None:
        self.database, self.now, self.journal = site.database, site.now, Unrecordable()


def test_no_change_without_its_record(site: Site, bundle: Path) -> None:
    """Where the record cannot be written, accounts and releases stay as they were."""
    once = add_account(site, "mri", "approver")
    books = Unwritable(site)
    with pytest.raises(LogUnavailableError):
        add_account(books, "eve", "administrator")  # type: ignore[arg-type]
    with pytest.raises(LogUnavailableError):
        change_password(books, "mri", once, PASSWORD)  # type: ignore[arg-type]
    with pytest.raises(LogUnavailableError):
        disable_account(books, "mri")  # type: ignore[arg-type]
    registry = replace(site.registry, journal=books.journal)  # type: ignore[arg-type]
    with pytest.raises(LogUnavailableError):
        registry.add(sign_bundle(site.keys, bundle, site.now()))
    with site.database.reading() as transaction:
        (account,) = transaction.accounts()
        assert not transaction.releases()
        assert not transaction.deployments()
    assert account.must_change_password
    assert account.disabled_at is None


def test_accounts_are_recorded_without_a_word_of_the_password(site: Site) -> None:
    """Adding, another password and closing are three records that name who did it."""
    once = add_account(site, "mri", "approver", "account:admin")
    change_password(site, "mri", once, PASSWORD)
    with pytest.raises(AuthenticationError):
        change_password(site, "mri", once, PASSWORD)
    with pytest.raises(ConfigurationError):
        change_password(site, "mri", PASSWORD, "short")
    disable_account(site, "mri", "account:admin")
    found = records(site, "account")
    assert [(item.body["action"], item.actor.id) for item in found] == [
        ("add", "account:admin"),
        ("password", "account:mri"),
        ("disable", "account:admin"),
    ]
    assert {(item.body["account"], item.body["role"]) for item in found} == {("mri", "approver")}
    with site.database.reading() as transaction:
        leaves = b"".join(leaf.leaf for leaf in transaction.leaves(0, transaction.tree_size()))
    for secret in (once, PASSWORD, "argon2"):
        assert secret.encode() not in leaves


def test_the_first_administrator_is_recorded(tmp_path: Path) -> None:
    """The account that a new site begins with is the first record of its log."""
    home = Home(tmp_path / "home")
    assert create_site(home, configuration(tmp_path))
    assert not create_site(home, configuration(tmp_path))
    with open_site(home, configuration=configuration(tmp_path)) as site:
        (record,) = records(site, "account")
    assert (record.body["account"], record.body["action"]) == ("admin", "add")
    assert record.actor.id == "service:osteon"
