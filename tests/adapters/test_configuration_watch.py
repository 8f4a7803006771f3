"""What was changed between two starts is on record, key by key, and no secret with it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.compose import Site, open_site
from adapters.config import Configuration
from adapters.configuration_watch import ABSENT, compare, flatten, note_configuration
from adapters.engine.serving import serving
from adapters.home import Home
from audit.record import Record
from governance.signing import load_trust, store_trust
from tests.simulators.example_site import configuration
from tests.simulators.governed_site import records

KEY = b"k" * 32


def start(root: Path, **changes: Any) -> list[Record]:
    """Start and stop a serving site, and return every change of configuration on record."""
    home = Home(root / "home").create()
    with open_site(home, configuration=configuration(root, **changes)) as site, serving(site):
        return records(site, "configuration_change")


@pytest.mark.reg("AIA-12.2a")
def test_a_change_between_two_starts_is_recorded_with_before_and_after(tmp_path: Path) -> None:
    """Nothing at the first start, nothing without a change, and each changed key once."""
    assert start(tmp_path) == []
    assert start(tmp_path) == []
    changed = start(tmp_path, limits={"free_space_mb": 17, "input_mb": 900})
    assert {record.body["setting"] for record in changed} == {
        "configuration.limits.free_space_mb", "configuration.limits.input_mb",
    }  # fmt: skip
    for record in changed:
        assert record.body["before_sha256"] != record.body["after_sha256"]
    back = start(tmp_path)
    assert len(back) == 4
    assert back[2].body["after_sha256"] == changed[0].body["before_sha256"]


def test_a_secret_is_noticed_and_not_kept(tmp_path: Path) -> None:
    """Another password is another digest; neither the password nor its plain hash is stored."""
    target = {"name": "fhir", "kind": "fhir", "url": "http://127.0.0.1:9/"}
    start(tmp_path, targets=[target | {"token": "first-secret"}])
    changed = start(tmp_path, targets=[target | {"token": "second-secret"}])
    assert [record.body["setting"] for record in changed] == ["configuration.targets.0.token"]
    for path in (tmp_path / "home").glob("site.db*"):
        content = path.read_bytes()
        assert b"first-secret" not in content
        assert b"second-secret" not in content


@pytest.mark.reg("AIA-15.5")
def test_a_key_that_somebody_put_in_by_hand_is_noticed(tmp_path: Path) -> None:
    """The file of trusted keys is watched: one more, or one fewer, is on record at the start."""
    start(tmp_path)
    path = tmp_path / "home" / "keys" / "trust.json"
    trust = load_trust(path)
    store_trust(path, trust[1:])
    (gone,) = (r for r in start(tmp_path) if r.body["setting"].startswith("trust."))
    assert trust[0].key_id in gone.body["setting"]


def test_a_run_on_files_notes_nothing(tmp_path: Path) -> None:
    """A command on files has a configuration of its own, which is not the site's."""
    from adapters.rt.read_folder import FolderScan

    scans: Mapping[str, FolderScan] = {"folder": FolderScan((), {}, ())}
    home = Home(tmp_path / "home").create()
    settings = configuration(tmp_path)
    with (
        open_site(home, configuration=settings, scans=scans) as site,
        serving(site),
        site.database.reading() as transaction,
    ):
        assert transaction.governed("configuration", "node-a") is None


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An empty site."""
    with open_site(Home(tmp_path / "home").create(), configuration=configuration(tmp_path)) as made:
        yield made


def test_what_is_in_force_can_be_read_afterwards(site: Site) -> None:
    """Every key of the configuration stands in the document of the start."""
    note_configuration(site)
    with site.database.reading() as transaction:
        document = transaction.governed("configuration", "node-a")
    assert document is not None
    values = document.content["values"]
    assert values["site.name"] == '"test-site"'
    assert values["pacs.0.kind"] == '"folder"'
    assert values["web.metrics_token"] == "hidden:empty"
    assert len(values) == len(dict(flatten(site.configuration, KEY)))


def test_every_value_has_a_path_of_its_own() -> None:
    """No two values share a path, so that no change hides behind another."""
    document = {
        "pacs": [{"name": n, "kind": "folder", "path": n} for n in ("a", "b")],
        "trigger": {"quiet_time_by_sender_s": {"CT1": 3.0, "CT2": 4.0}},
    }
    pairs = list(flatten(Configuration.model_validate(document), KEY))
    assert len(pairs) == len(dict(pairs))
    assert dict(pairs)["trigger.quiet_time_by_sender_s.CT2"] == "4.0"


STATES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xyz"))


@given(STATES, STATES)
def test_comparison_finds_every_difference(before: dict[str, str], after: dict[str, str]) -> None:
    """Applying what was found to the one gives the other."""
    made = dict(before)
    for change in compare(before, after):
        assert made.get(change.key, ABSENT) == change.before
        if change.after == ABSENT:
            del made[change.key]
        else:
            made[change.key] = change.after
    assert made == after
