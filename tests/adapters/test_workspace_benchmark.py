"""The benchmark of the pages opens each of them, on a small log here and the stated one there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.benchmarks.workspace import measure, pages_of, seed
from adapters.compose import Site, open_site
from adapters.home import Home
from audit.record import decode
from tests.simulators.example_site import configuration
from validation.benchmarks.pages import GOAL_S, as_markdown, measure_pages


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An empty site."""
    home = Home(tmp_path / "home").create()
    with open_site(home, configuration=configuration(tmp_path)) as opened:
        yield opened


def test_every_page_is_measured_on_a_seeded_log(site: Site) -> None:
    """The seeded log verifies, its records are valid, and each page opens and shows some."""
    seeded = seed(site, 2000)
    assert site.verify_log().tree_size >= seeded.records
    with site.database.reading() as transaction:
        assert transaction.line_count() == transaction.tree_size()
        for leaf in transaction.leaves(0, 8):
            assert decode(leaf.leaf).kind == leaf.kind
        line = transaction.patient_line(seeded.patient)
    assert line is not None
    assert line.run_count == 4
    times = measure(site, seeded, repeats=1)
    assert [item.page for item in times] == list(pages_of(seeded))
    assert "| audit, kind |" in as_markdown(times)


def test_a_page_that_does_not_open_is_not_measured() -> None:
    """A figure of an error page would be no figure."""
    with pytest.raises(ValueError, match="404"):
        measure_pages({"gone": "/gone"}, lambda _: 404, 1)


@pytest.mark.acceptance
def test_any_page_in_200_ms_at_a_million_records(site: Site) -> None:
    """Issue 4: any page of the workspace within 200 ms at 10⁶ records."""
    seeded = seed(site, 1_000_000)
    late = [item for item in measure(site, seeded) if item.median_s > GOAL_S]
    assert not late
