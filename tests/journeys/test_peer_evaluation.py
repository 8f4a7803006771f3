"""Peers evaluate at home: aggregates meet, no case leaves, and what does not fit is refused."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.cli.main import app
from adapters.compose import Site
from adapters.documents.report_html import report_html
from adapters.validation.kept_runs import read_run
from adapters.validation.peers import export_report
from adapters.validation.reporting import write_report
from audit import canonical
from audit.errors import SignatureError
from governance.report import Forest
from governance.sealed import seal, unsealed
from governance.signing import TrustedKey, store_trust
from tests.simulators.governed_site import ENGINEER, add_release, governed_site, records
from tests.simulators.validation_site import finished_run
from validation.pooling.page import pooled_report
from validation.pooling.pooled import PoolingError, pool_reports, read_site_report


@dataclass(frozen=True)
class Peer:
    """A site that evaluated at home, and what it gave away."""

    site: Site
    raw: bytes
    case_ids: tuple[str, ...]
    groups: tuple[str, ...]


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    """Two sites with other patients and the same release, criteria and metrics."""
    found = []
    with (
        governed_site(tmp_path_factory.mktemp("north")) as (north, _),
        governed_site(tmp_path_factory.mktemp("south")) as (south, _),
    ):
        for site, place, seed in ((north, "north", 1), (south, "south", 2)):
            run = finished_run(site, add_release(site, "1.0.0"), place=place, seed=seed)
            kept = read_run(site, run.run_id)
            write_report(site, kept, pdf=False)
            raw = export_report(site, kept, ENGINEER, place)
            ids = tuple({c.case_id for c in run.cases})
            found.append(Peer(site, raw, ids, tuple({c.patient_group for c in run.cases})))
        yield found[0], found[1]


def _trust(peers: tuple[Peer, Peer]) -> tuple[TrustedKey, ...]:
    return tuple(key for peer in peers for key in peer.site.registry.trust())


def test_a_third_pools_what_two_sites_tell(peers: tuple[Peer, Peer]) -> None:
    """The pooled mean lies between the sites' own, with an interval and all patients counted."""
    reports = [read_site_report(peer.raw, _trust(peers)) for peer in peers]
    assert reports[0]["release_digest"] == reports[1]["release_digest"]
    found = pool_reports(reports)
    (row,) = [
        r for r in found["pooled"]
        if (r["given"], r["stratum"], r["metric"]) == ("ct+pet", "all", "dsc")
    ]  # fmt: skip
    means = sorted(item["mean"] for item in row["sites"])
    assert means[0] <= row["value"] <= means[1]
    assert row["low"] < row["value"] < row["high"]
    assert row["n"] == 60
    assert found["sites"] == ["north", "south"]


def test_no_case_leaves(peers: tuple[Peer, Peer]) -> None:
    """No case, patient, picture or small group stands in what leaves; that it left is recorded."""
    for peer in peers:
        text = peer.raw.decode()
        assert not [name for name in (*peer.case_ids, *peer.groups) if name in text]
        report = canonical.decode(peer.raw)
        assert "under-18" in report["withheld"]
        assert min(row["patients"] for row in report["figures"]) >= 5
        for word in ("per_case", "worst", "png", "volume_pairs", "run_id", "output_digest"):
            assert word not in text
        (record,) = records(peer.site, "export")
        assert record.body["what"] == "site-report"


def test_what_is_of_another_thing_is_refused(peers: tuple[Peer, Peer]) -> None:
    """Another release, criteria or metrics, one site twice, one alone: each by its name."""
    reports = [read_site_report(peer.raw, _trust(peers)) for peer in peers]
    for name in ("release_digest", "criteria_digest", "metric_pack"):
        with pytest.raises(PoolingError) as refused:
            pool_reports([reports[0], {**reports[1], name: "other"}])
        assert refused.value.reasons == (f"{name.upper()}_DIFFERS",)
    for chosen, code in (([reports[0]], "ONE_SITE"), ([reports[0], reports[0]], "SITE_TWICE")):
        with pytest.raises(PoolingError) as refused:
            pool_reports(chosen)
        assert refused.value.reasons == (code,)


def test_a_report_counts_by_the_key_of_its_site(peers: tuple[Peer, Peer]) -> None:
    """A flipped byte, an untrusted key and bytes of another kind are refused."""
    north, south = peers
    with pytest.raises(SignatureError):
        read_site_report(north.raw, south.site.registry.trust())
    flipped = bytearray(north.raw)
    flipped[flipped.index(b'"mean":0.') + 9] ^= 1
    with pytest.raises((SignatureError, PoolingError)):
        read_site_report(bytes(flipped), _trust(peers))
    content = unsealed(canonical.decode(north.raw))
    sealer = replace(south.site.keys.sealer, key_id="report-unknown")
    forged = canonical.encode(seal(content, sealer, south.site.now()))
    with pytest.raises(SignatureError):
        read_site_report(forged, _trust(peers))
    with pytest.raises(PoolingError):
        read_site_report(b"{}", _trust(peers))


@pytest.mark.parametrize(("language", "word"), [("en", "all sites"), ("de", "alle Standorte")])
def test_the_pooled_page_has_a_forest_of_the_sites(
    peers: tuple[Peer, Peer], tmp_path: Path, language: str, word: str
) -> None:
    """The command writes a page: each site and all together on one axis, with what is withheld."""
    for number, peer in enumerate(peers):
        (tmp_path / f"{number}.json").write_bytes(peer.raw)
    store_trust(tmp_path / "trust.json", _trust(peers))
    page = tmp_path / "pooled.html"
    found = CliRunner().invoke(app, [
        "validate", "pool", str(tmp_path / "0.json"), str(tmp_path / "1.json"), "--json",
        "--trust", str(tmp_path / "trust.json"), "--html", str(page), "--language", language,
    ])  # fmt: skip
    assert found.exit_code == 0, found.output
    text = page.read_text("utf-8")
    assert f'<html lang="{language}">' in text
    assert text.count("<svg") >= 2  # with and without PET, at least
    for name in ("north", "south", word, "under-18"):
        assert name in text
    row = next(r for r in json.loads(found.stdout)["pooled"]
               if (r["given"], r["stratum"], r["metric"]) == ("ct+pet", "all", "dsc"))  # fmt: skip
    shown = f"{row['value']:.3f}"
    assert (shown if language == "en" else shown.replace(".", ",")) in text
    assert "script" not in text


def test_the_page_predicts_a_further_site_from_three(peers: tuple[Peer, Peer]) -> None:
    """With three sites the forest has a row more, as wide as the prediction or wider."""
    reports = [read_site_report(peer.raw, _trust(peers)) for peer in peers]
    third = {**reports[0], "site": "west", "report_digest": "sha256:" + "7" * 64}
    pooled = pool_reports([*reports, third])
    forests = [b for s in pooled_report(pooled, "en").sections for b in s.blocks
               if isinstance(b, Forest)]  # fmt: skip
    assert {len(item.rows) for item in forests} == {5}
    for item in forests:
        together, further = item.rows[-2].number, item.rows[-1].number
        assert further.low is not None
        assert together.low is not None
        assert further.low <= together.low
    two = pooled_report(pool_reports(reports), "en")
    assert "Two sites" in report_html(two)
