"""The benchmark of the log: its sides do the same work; no figure is judged here."""

from collections.abc import Callable
from pathlib import Path

from adapters.bench_log import measure, show
from validation.benchmarks.audit_log import paced, rates


def test_every_figure_is_there(tmp_path: Path) -> None:
    """Each side is measured; a peer that is not installed is named and gives no figure."""
    table = measure(size=1_500, appends=600, repeats=1, peers=tmp_path)
    assert "make peers" in table["roots_agree"]
    assert table["proof"]["hashes"] == 11  # of 1,500 records
    assert len(table["appends_per_s"]) == 3
    assert len(table["verified_per_s"]) == 3
    assert all(rate["best_per_s"] > 0 for rate in table["appends_per_s"].values())
    assert len(show(table)) > 30


def test_a_rate_is_that_of_the_side() -> None:
    """A side is called once a repeat, in turns with the others."""
    seen: list[str] = []

    def side(name: str) -> Callable[[int], int]:
        return lambda number: len(seen.append(f"{name}{number}") or "xx")  # type: ignore[func-returns-value]

    found = rates({name: side(name) for name in "ab"}, 2)
    assert seen == ["a0", "b0", "a1", "b1"]
    assert found["a"].repeats == 2
    latency = paced(str, 2_000, 200, 4)
    assert latency.p50_ms <= latency.p99_ms <= latency.most_ms
