"""When would it have been found? A site's past or streams drawn from it, with a planted change.

    past       the cases of a release in their order, as they are: which case would have alarmed
    planted    streams drawn with replacement from the past (or from the reference window, where
               there is no past), changed from a stated case on

A change is written as ``NAME+NUMBER``, ``NAME*NUMBER`` or ``NAME=WORD``.  Nothing is kept and no
alarm is raised.

Read next: `running.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from adapters.monitoring.reading import read
from adapters.monitoring.running import Watched
from audit.errors import ConfigurationError, RefusalError
from governance.monitoring import watch as watches
from governance.monitoring.plan import FIRST, Item
from governance.monitoring.reference import Observation
from governance.monitoring.run_length import NEVER, Delays, delays
from governance.monitoring.watch import State

if TYPE_CHECKING:
    from adapters.compose import Site

_CHANGE = re.compile(r"([A-Za-z0-9_]{1,64})([+*=])(.{1,64})")
_PAGES = 200
Change = Callable[[Observation], Observation]


@dataclass(frozen=True, slots=True)
class Past:
    """What a replay of the past says of an item: the alarms it would have raised, by case."""

    item: str
    cases: int
    alarms: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Planted:
    """What streams with a planted change say of an item."""

    item: str
    change_at: int
    cases: int
    drawn_from: int
    found: Delays


def change_of(text: str) -> Change:
    """Return the change that a text states; ConfigurationError says how it is written."""
    match = _CHANGE.fullmatch(text)
    if match is None:
        raise ConfigurationError("expected NAME+NUMBER, NAME*NUMBER or NAME=WORD")
    name, sign, rest = match.groups()
    if sign == "=":
        return lambda case: (
            replace(case, categories={**case.categories, name: rest})
            if name in case.categories
            else case
        )
    try:
        number = float(rest)
    except ValueError as error:
        raise ConfigurationError(f"expected a number after {name}{sign}") from error
    if not math.isfinite(number):
        raise ConfigurationError(f"expected a finite number after {name}{sign}")

    def moved(case: Observation) -> Observation:
        if name not in case.numbers:
            return case
        old = case.numbers[name]
        new = old + number if sign == "+" else old * number
        return replace(case, numbers={**case.numbers, name: new})

    return moved


def past_of(site: Site, release: Watched, item: Item) -> tuple[Observation, ...]:
    """Return every case that an item of a release has had here."""
    found: list[Observation] = []
    cursor: tuple[object, str] = (None, "")
    digest = release.deployment.release_digest
    with site.database.reading() as transaction:
        for _ in range(_PAGES):
            batch = read(transaction, digest, item, cursor, site.now())  # type: ignore[arg-type]
            found += batch.cases
            if batch.cursor == cursor:
                break
            cursor = batch.cursor
    return tuple(found)


def replay(release: Watched, item: Item, cases: Sequence[Observation]) -> Past:
    """Return the alarms of the past; after each the sums start anew, as after a decision."""
    state, alarms = State(), []
    for number, case in enumerate(cases, 1):
        state = watches.run(item, release.deployment.release_digest, release.window, state, [case])
        if state.beyond is not None:
            alarms.append((number, state.beyond.name))
            state = watches.restarted(state)
    return Past(item.name, len(cases), tuple(alarms))


def plant(
    release: Watched,
    item: Item,
    cases: Sequence[Observation],
    change: Change,
    *,
    change_at: int,
    length: int,
    streams: int,
    generator: np.random.Generator,
) -> Planted:
    """Return how soon a change from a case on is found over streams drawn from some cases.

    A window of first cases is drawn first and is not counted.

    Raises
    ------
    RefusalError : there are no cases to draw from, or the item watches nothing of them.
    ConfigurationError : the change leaves every case as it is, or there is no stream.
    """
    if not cases or not 0 <= change_at < length:
        raise RefusalError(
            "expected past cases and a change within the stream",
            reasons=("NO_PAST",),
            advice="Let the release run first, or state --at below --cases.",
        )
    if streams < 1:
        raise ConfigurationError(f"expected one stream at least, found {streams}")
    if all(change(case) == case for case in cases):
        had = sorted({name for case in cases for name in (*case.numbers, *case.categories)})
        raise ConfigurationError(
            f"expected a change of what item {item.name} has of its cases, found none of that name",
            advice=f"Name one of {', '.join(had)}, and a change that moves it.",
        )
    digest = release.deployment.release_digest
    before = item.first_cases if item.window == FIRST else 0
    alarms = []
    for stream in range(streams):
        drawn = [cases[int(i)] for i in generator.integers(len(cases), size=before + length)]
        named = [replace(case, case=f"{stream}:{n}") for n, case in enumerate(drawn)]
        state = watches.run(item, digest, release.window, State(), named[:before])
        moved = [change(c) if n >= change_at else c for n, c in enumerate(named[before:])]
        state = watches.run(item, digest, release.window, state, moved)
        alarms.append(NEVER if state.beyond is None else state.n)
    found = delays(np.asarray(alarms, dtype=np.int64), change_at)
    return Planted(item.name, change_at, length, len(cases), found)


def drawn_from_window(
    release: Watched, count: int, generator: np.random.Generator
) -> tuple[Observation, ...]:
    """Return cases whose numbers are drawn, each by itself, from the reference window."""
    window = release.window
    if window is None:
        return ()
    found = []
    for number in range(count):
        numbers = {n: float(generator.choice(v)) for n, v in window.numbers.items()}
        words = {}
        for name, counts in window.categories.items():
            shares = np.array(list(counts.values())) / sum(counts.values())
            words[name] = str(generator.choice(list(counts), p=shares))
        found.append(Observation(f"drawn-{number}", numbers, words))
    return tuple(found)
