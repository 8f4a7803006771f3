"""Drift detectors beside their peers at the same mean run length, from one command.

    python -m validation.benchmarks.drift [--streams 1000] [--seed 20261126] [--peers .peers]
                                          [--only labelled contours images cost]

Three questions, each with its goal, its number of streams and its intervals: a fallen AUC, a
shift of contours, a changed acquisition on real images; and what a case costs.  Peers run in
environments of their own (`make peers`); one that is not installed is named and left out.  The
setting of a peer is the fastest of its grid that keeps 90 % of the run length on quiet streams.

Read next: `labelled.py`, `contours.py`, `images.py`, `plan_items.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from governance.monitoring.conformal import Ranks, follow_ranks
from governance.monitoring.run_length import Delays, delays, mean_run_length
from governance.monitoring.sums import Sums, follow
from governance.monitoring.tails import both_tails
from validation.benchmarks.drift import contours, images, labelled, plan_items
from validation.benchmarks.drift.matching import Matched, at_run_length, window_tests

PEERS = ("river", "frouros", "alibi-detect")
SCRIPT = Path(__file__).resolve().parents[3] / "adapters" / "benchmarks" / "peers"
SEED = 20261126
QUIET_LENGTH = 4000
"""Cases of a stream without a change, by which run lengths are measured."""
QUIET_STUDIES = 2000
_COST_CASES, _COST_NUMBERS = 200, 14


def few(streams: int) -> int:
    """Return how many streams go case by case through an item of the plan."""
    return max(10, streams // 10)


def _delay(found: Delays) -> str:
    low, high = found.median_interval
    return (
        f"median {found.median:g} [{low:g}, {high:g}], 90 % by {found.p90:g}, found "
        f"{100 * found.found_share:.1f} %, falsely before {100 * found.false_share:.1f} % "
        f"({found.streams} quiet streams)"
    )


def labelled_lines(streams: int, seed: int, peers: Path) -> Iterator[str]:
    """Yield the table of a fallen AUC: ours, chunks, peers."""
    generator = np.random.default_rng(seed)
    yield (
        f"AUC {labelled.BEFORE} to {labelled.AFTER}, prevalence {labelled.PREVALENCE}, after "
        f"{labelled.QUIET_CASES} quiet patients; goal: median at most {labelled.GOAL:g} at a mean "
        f"run length of {labelled.RUN_LENGTH:g}"
    )
    still = labelled.quiet(streams, QUIET_LENGTH, generator)
    value, least, most = mean_run_length(labelled.ours(still), QUIET_LENGTH)
    yield f"  ours, run length measured: {value:.0f} [{least:.0f}, {most:.0f}], proven 2000"
    before = labelled.quiet(streams, labelled.QUIET_CASES, generator)
    floor = labelled.chunk_floor(generator)
    stories = {}
    for story in labelled.STORIES:
        after = labelled.changed(story, streams, labelled.FOLLOWED, generator)
        stories[story] = before.then(after)
        found = delays(labelled.ours(stories[story]), labelled.QUIET_CASES)
        yield f"  {story}: ours {_delay(found)}"
        at_once = delays(labelled.ours(after), 0)
        yield f"  {story}: ours, changed from the first patient on: {_delay(at_once)}"
        chunks = delays(labelled.chunks(stories[story], floor), labelled.QUIET_CASES)
        yield f"  {story}: AUC of 50-patient chunks {_delay(chunks)}"
    arrays = {
        "quiet": still.loss[: max(20, streams // 5)],
        "changed": stories["events move"].loss,
        "reference": labelled.quiet(1, 500, generator).loss[0],
        "run_length": np.array(labelled.RUN_LENGTH),
    }
    yield from _peer_lines(peers, arrays, "events move")


def _peer_lines(peers: Path, arrays: dict[str, np.ndarray], story: str) -> Iterator[str]:
    for peer in PEERS:
        python = peers / peer / "bin" / "python"
        if not python.exists():
            yield f"  {peer}: not installed (make peers)"
            continue
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            np.savez(folder / "streams.npz", **arrays)  # type: ignore[arg-type]
            command = [str(python), str(SCRIPT / "drift_streams.py"), peer, str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                yield f"  {peer}: did not run: {done.stderr.strip().splitlines()[-1:]}"
                continue
            settings = json.loads((folder / f"{peer}.json").read_text())
        cases = arrays["quiet"].shape[1]
        best = labelled.matched(settings, cases)
        for method in sorted({name.split(" ")[0] for name in settings}):
            short = ""
            if method not in best:
                best |= labelled.matched(
                    {n: v for n, v in settings.items() if n.startswith(f"{method} ")}, cases, 1.0
                )
                short = "no setting keeps the run length, "
            if method not in best:
                yield f"  {peer} {method}: alarms at once at every setting"
                continue
            name, length, found = best[method]
            yield f"  {short}{story}: {peer} {name} (run length {length:.0f}): {_delay(found)}"


def contour_lines(streams: int, seed: int, _: Path) -> Iterator[str]:
    """Yield the table of a shift of the contours at three scatters."""
    generator = np.random.default_rng(seed + 1)
    yield (
        f"contours {contours.SHIFT_MM:g} mm off along one of three axes, after "
        f"{contours.REFERENCE} reference and {contours.QUIET_CASES} quiet cases; goal: within "
        f"{contours.GOAL_CASES:g} cases, at most 1 % false alarms in {contours.NO_CHANGE}"
    )
    for scatter in (1.0, 1.5, 2.0):
        found = contours.measure(scatter, streams, generator)
        yield f"  scatter {scatter} mm: ours {_delay(found.ours)}"
        yield f"  scatter {scatter} mm: KS on chunks of 50 {_delay(found.chunks)}"
        yield (
            f"  scatter {scatter} mm: false alarms in {contours.NO_CHANGE} quiet cases: ours "
            f"{found.false_ours}, chunks {found.false_chunks} of {found.streams} streams"
        )
        item = plan_items.shift(scatter, few(streams), generator)
        yield (
            f"  scatter {scatter} mm: the plan's item, case by case {_delay(item.delays)}; within "
            f"{contours.GOAL_CASES:g} {100 * item.within:.1f} %"
        )


def image_lines(streams: int, seed: int, peers: Path) -> Iterator[str]:
    """Yield the table of changes on real images: ours, the plan's item with tags, peers."""
    generator = np.random.default_rng(seed + 2)
    yield (
        f"acquisition on real CTs by image alone, {images.WINDOW} reference and "
        f"{images.QUIET_CASES} quiet studies; goal: within {images.GOAL_CASES}, at most 1 false "
        f"alarm in {images.RUN_LENGTH:g}"
    )
    for data in images.DATA:
        if not any(images.DATA[data](images.data_root())):
            yield f"  {data}: data absent"
            continue
        tables = images.pool(data, generator)
        drawn = images.draw(tables, streams, QUIET_STUDIES, generator)
        found, quiet, matched = images.measure(data, tables, drawn, generator)
        for item in found:
            yield (
                f"  {data} ({item.patients} patients), {item.change}: {_delay(item.delays)}; "
                f"within ten {100 * item.within_ten:.1f} %"
            )
        value, least, most = quiet.run_length
        yield (
            f"  {data}: {quiet.alarms} alarms in {quiet.streams} quiet streams of {quiet.cases} "
            f"studies; run length {value:.0f} [{least:.0f}, {most:.0f}]"
        )
        for line in plan_items.acquisition(tables, few(streams), generator):
            yield (
                f"  {data}, {line.change}, with its tags, the plan's item: {_delay(line.delays)}; "
                f"within ten {100 * line.within:.1f} %"
            )
        yield from _matched_lines(data, matched)
        yield from _window_lines(data, drawn, peers)


def _window_lines(data: str, drawn: images.Streams, peers: Path) -> Iterator[str]:
    """Yield what sliding two-sample tests find on the same streams at the same run length."""
    python = peers / "frouros" / "bin" / "python"
    if not python.exists():
        yield "  frouros: not installed (make peers)"
        return
    quiet = drawn.quiet[: max(10, len(drawn.quiet) // 5)]
    tables = {"windows": drawn.windows, "quiet": quiet, **drawn.changed}
    for method, statistics in window_tests(python, SCRIPT / "drift_windows.py", tables).items():
        still = statistics.pop("quiet")
        yield from _matched_lines(
            data,
            at_run_length(
                f"frouros {method}", still, statistics, images.QUIET_CASES, images.RUN_LENGTH
            ),
        )


def _matched_lines(data: str, matched: Matched) -> Iterator[str]:
    for change, found in matched.delays.items():
        yield (
            f"  {data}, {change}, {matched.method} at {matched.level:.4g} (measured run length "
            f"{matched.run_length:.0f}): {_delay(found)}"
        )


def cost_lines(_: int, seed: int, __: Path) -> Iterator[str]:
    """Yield what one case costs: ranks and order statistics of 14 numbers, after 200 cases."""
    generator = np.random.default_rng(seed + 3)
    reference = generator.normal(size=51).tolist()
    ranks, detector = Ranks.from_reference(reference), both_tails(reference, 0.01)
    sums = Sums.start(len(detector.weights))
    taken = []
    for case in range(_COST_CASES):
        value = float(generator.normal())
        started = time.perf_counter()
        for _number in range(_COST_NUMBERS):
            after = follow_ranks(ranks, value, str(case))
            sums = follow(detector, sums, value)
        taken.append(time.perf_counter() - started)
        ranks = after
    yield (
        f"cost of a case, {_COST_NUMBERS} numbers: median {1000 * np.median(taken):.2f} ms, "
        f"slowest {1000 * max(taken):.2f} ms; goal 5 ms"
    )


SECTIONS: dict[str, Callable[[int, int, Path], Iterator[str]]] = {
    "labelled": labelled_lines,
    "contours": contour_lines,
    "images": image_lines,
    "cost": cost_lines,
}


def main(arguments: list[str] | None = None) -> int:
    """Write the tables to standard output."""
    parser = argparse.ArgumentParser(prog="python -m validation.benchmarks.drift")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--peers", type=Path, default=Path(".peers"))
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS), default=list(SECTIONS))
    chosen = parser.parse_args(arguments)
    sys.stdout.write(
        f"{chosen.streams} streams, seed {chosen.seed}, load {os.getloadavg()[0]:.1f}; "
        "intervals 95 %\n"
    )
    for name in chosen.only:
        for line in SECTIONS[name](chosen.streams, chosen.seed, chosen.peers.absolute()):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
