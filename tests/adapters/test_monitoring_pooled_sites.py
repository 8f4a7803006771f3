"""Sites give evidence without a case, signed and inside their region; a pool alarms where due."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.cli.main import app
from adapters.config import Configuration
from adapters.keys import signing_key
from adapters.monitoring.plans import window_of
from adapters.monitoring.pooled_alarms import raise_pooled
from adapters.monitoring.pooling import export_aggregate, pool_given, read_given
from audit import canonical
from audit.errors import ConfigurationError, RefusalError, SignatureError
from governance.monitoring import plan as plans
from governance.monitoring.plan import Item, Plan
from governance.sealed import Sealer, open_sealed, seal
from governance.signing import load_trust
from tests.simulators.governed_site import CLINICIAN, PHYSICIST, records
from tests.simulators.monitored_site import Monitored, monitored_site

PLAN = Plan(
    "trial",
    (
        Item("refusals", plans.RATE, ("refused",), plans.STATED, 300.0, "notify", "physicist",
             rate=0.1),
        Item("input", plans.INPUT, ("ct_noise",), plans.RELEASE, 300.0, "notify", "physicist"),
        Item("latency", plans.OPERATIONS, ("seconds",), plans.FIRST, 300.0, "notify", "engineer"),
    ),
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Monitored]:
    """A site in a region that its figures are bound to."""
    with monitored_site(tmp_path, PLAN, site={"region": "EU", "region_pinned": True}) as opened:
        yield opened


def _run(place: Monitored, site_code: str, status: str = "done") -> None:
    run_id = place.run(status)
    with place.site.database.transaction() as transaction:
        subject = {"age_band": "18-39", "sex": "F", "site_code": site_code}
        transaction.set_run_facts(run_id, {"subject": subject, "acquisition": {}})


def _month(place: Monitored, refused: int, done: int) -> None:
    """Fill a month with studies of a rare site, and a few of a rarer one; go on to the next."""
    for number in range(refused + done):
        _run(place, "FEMUR", "refused" if number < refused else "done")
    for _ in range(2):
        _run(place, "SACRUM")
    place.clock.forward(days=31)


def _trust(place: Monitored) -> tuple:
    return load_trust(place.site.home.keys / "trust.json")


def _as_site(place: Monitored, raw: bytes, name: str, **changes: object) -> bytes:
    """Return what another site of the same keys would have given."""
    content = {**open_sealed(json.loads(raw), _trust(place), "plan"), "site": name, **changes}
    sealer = Sealer(*signing_key(place.site.home, "plan", place.site.now()))
    return canonical.encode(seal(content, sealer, place.site.now(), "plan"))


@pytest.mark.reg("AIA-72.1")
def test_what_leaves_has_no_case_no_small_group_and_a_signature(place: Monitored) -> None:
    """Blocks and shares alone; no id of a run, study or patient; a change breaks the signature."""
    _month(place, 3, 9)
    _month(place, 2, 8)
    raw = export_aggregate(place.site, place.digest, PHYSICIST, "EU")
    content = open_sealed(json.loads(raw), _trust(place), "plan")
    assert [item["item"]["name"] for item in content["items"]] == ["refusals", "input"]
    (first, second) = content["items"][0]["blocks"]
    assert {block["stratum"] for block in (first, second)} == {"tumour_site=FEMUR"}
    assert (first["n"], second["n"]) == (12, 10)
    text = raw.decode()
    assert "SACRUM" not in text  # two studies a month, four in all
    for number in range(1, place.count + 1):
        assert f"{number:032x}" not in text
    assert content["histograms"]["ct_noise"]["n"] % 5 == 0
    (told,) = records(place.site, "export")
    assert (told.body["what"], told.body["count"]) == ("monitoring-aggregate", 4)
    with pytest.raises(SignatureError):
        read_given(canonical.encode({**json.loads(raw), "site": "other"}), _trust(place), "EU")
    with pytest.raises(RefusalError):
        export_aggregate(place.site, place.digest, CLINICIAN, "EU")


@pytest.mark.reg("CN-1")
def test_a_pinned_site_gives_nothing_outside_its_region(place: Monitored) -> None:
    """Refused at the export, on record, and by a pool elsewhere that got it all the same."""
    _month(place, 1, 9)
    for to in ("US", ""):
        with pytest.raises(RefusalError) as caught:
            export_aggregate(place.site, place.digest, PHYSICIST, to)
        assert caught.value.reasons == ("REGION_PINNED",)
    assert [r.outcome.reason for r in records(place.site, "export")] == ["REGION_PINNED"] * 2
    raw = export_aggregate(place.site, place.digest, PHYSICIST, "EU")
    assert read_given(raw, _trust(place), "EU").site == "test-site"
    with pytest.raises(RefusalError):
        read_given(raw, _trust(place), "US")


def test_a_pool_alarms_where_no_site_does_and_somebody_decides(place: Monitored) -> None:
    """Five sites alike: each far from an alarm, together beyond it; the alarm opens here, once."""
    _month(place, 3, 7)
    raw = export_aggregate(place.site, place.digest, PHYSICIST, "EU")
    given = [
        read_given(_as_site(place, raw, name), _trust(place), "EU")
        for name in ("aachen", "bern", "calw", "delft", "essen")
    ]
    found = pool_given(given, window_of(place.site, place.digest))
    (refusals,) = [one for one in found if one.item.name == "refusals"]
    assert refusals.pooled.cases == 50
    assert refusals.pooled.alarm_month
    assert not any(one.alarm_month for one in refusals.alone.values())
    assert refusals.pooled.parts[0][:2] == ("tumour_site=FEMUR", "refused")
    (quiet,) = [one for one in found if one.item.name == "input"]
    assert not quiet.pooled.alarm_month
    (name,) = raise_pooled(place.site, place.digest, found)
    assert name.startswith("monitor:pooled-refusals:")
    assert raise_pooled(place.site, place.digest, found) == ()
    assert not pool_given(given, None, since="2999-01")[0].pooled.cases


def test_what_does_not_belong_together_is_not_pooled(place: Monitored) -> None:
    """One site twice, another release, another dimension, a small block, another form."""
    _month(place, 1, 9)
    raw = export_aggregate(place.site, place.digest, PHYSICIST, "EU")
    one = read_given(raw, _trust(place), "EU")
    for other in (one, replace(one, site="b", release_digest="sha256:x"),
                  replace(one, site="b", by="sex")):  # fmt: skip
        with pytest.raises(RefusalError):
            pool_given([one, other], None)
    content = json.loads(raw)
    small = [
        {**item, "blocks": [{**b, "n": 4} for b in item["blocks"]]} for item in content["items"]
    ]
    for wrong in ({"schema": "other/1"}, {"items": small}, {"items": [{}]}, {"least_patients": 2}):
        with pytest.raises(ConfigurationError):
            read_given(_as_site(place, raw, "b", **wrong), _trust(place), "EU")
    with pytest.raises(ConfigurationError):
        read_given(b"[]", _trust(place), "EU")


def test_a_pin_needs_a_region() -> None:
    """Bound to nowhere is no configuration."""
    with pytest.raises(ValueError, match="region"):
        Configuration.model_validate({"site": {"region_pinned": True}})


def test_the_command_pools_files(tmp_path: Path) -> None:
    """Two files of two sites become one table, and one JSON."""
    with monitored_site(tmp_path, PLAN) as place:
        _month(place, 2, 8)
        raw = export_aggregate(place.site, place.digest, PHYSICIST, "")
        files = []
        for name in ("aachen", "bern"):
            files.append(tmp_path / f"{name}.json")
            files[-1].write_bytes(_as_site(place, raw, name))
        home = str(place.site.home.root)
        words = '[site]\nname = "test-site"\nnode = "node-a"\nmode = "research"\n'
        place.site.home.configuration.write_text(words, "utf-8")
    words = ["monitor", "pool", *map(str, files), "--home", home]
    told = CliRunner().invoke(app, [*words, "--json"])
    assert told.exit_code == 0, told.output
    found = {one["item"]["name"]: one for one in json.loads(told.stdout)}
    assert found["refusals"]["pooled"]["cases"] == 20
    assert set(found["refusals"]["alone"]) == {"aachen", "bern"}
    shown = CliRunner().invoke(app, words)
    assert "no new alarm" in shown.stdout, shown.output
