"""Where an item of the plan stands: plain values that a database or a backup carries.

`encode` and `decode` are inverses.

Read next: `watch.py`, `strata.py`, which move a state case by case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from governance.monitoring.conformal import BOTH, Ranks
from governance.monitoring.plan import OUTCOME, Item
from governance.monitoring.reference import EMBEDDING, Observation
from governance.monitoring.sums import Sums

COLLECTING, WATCHING, ALARMED, BLIND = "collecting", "watching", "alarmed", "blind"
RANKS, LIMITS = "ranks", "limits"
LABEL = "label"
"""Number of a case of an outcome item: 1 where the event came."""


@dataclass(frozen=True, slots=True)
class Beyond:
    """A detector that passed its threshold."""

    name: str
    way: str
    evidence: float
    threshold: float


@dataclass(frozen=True, slots=True)
class State:
    """Where an item stands.

    Parameters
    ----------
    first : cases collected for a window of first cases.
    ranks, sums : of each number by name.
    n : cases watched since the start or the last restart.
    beyond : what raised the alarm; the item waits until somebody decided and it is restarted.
    strata : of an item that is split (`strata.py`), where each part stands, by its name.
    """

    first: tuple[Observation, ...] = ()
    ranks: Mapping[str, Ranks] = field(default_factory=dict)
    sums: Mapping[str, Sums] = field(default_factory=dict)
    n: int = 0
    beyond: Beyond | None = None
    strata: Mapping[str, State] = field(default_factory=dict)


def restarted(state: State) -> State:
    """Return the state after a decision on an alarm: sums from 0, the same reference."""
    return State(
        first=state.first, strata={name: restarted(part) for name, part in state.strata.items()}
    )


def chosen(names: Sequence[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the names that the patterns of an item stand for."""
    return tuple(n for n in names if any(fnmatchcase(n, pattern) for pattern in patterns))


def needed(item: Item, case: Observation) -> Observation:
    """Return what an item needs of a case, so that the state stays small."""
    if item.metric == OUTCOME:
        return case
    return Observation(
        case.case,
        {name: case.numbers[name] for name in chosen(tuple(case.numbers), item.data)},
        {name: case.categories[name] for name in chosen(tuple(case.categories), item.data)},
        case.embedding if EMBEDDING in item.data else (),
    )


def encode(state: State) -> dict[str, Any]:
    """Return a state as JSON values; inverse of `decode`."""
    found = {
        "first": [asdict(case) for case in state.first],
        "ranks": {name: asdict(ranks) for name, ranks in state.ranks.items()},
        "sums": {name: asdict(sums) for name, sums in state.sums.items()},
        "n": state.n,
        "beyond": None if state.beyond is None else asdict(state.beyond),
    }
    if state.strata:
        found["strata"] = {name: encode(part) for name, part in state.strata.items()}
    return found


def decode(document: Mapping[str, Any]) -> State:
    """Return the state of JSON values."""
    return State(
        tuple(
            Observation(case["case"], case["numbers"], case["categories"], tuple(case["embedding"]))
            for case in document["first"]
        ),
        {
            name: Ranks(
                tuple(g["values"]),
                tuple(g["counts"]),
                tuple(g["sums"]),
                g["n"],
                g.get("side", BOTH),
            )
            for name, g in document["ranks"].items()
        },
        {name: Sums(tuple(g["values"]), g["n"]) for name, g in document["sums"].items()},
        int(document["n"]),
        None if document["beyond"] is None else Beyond(**document["beyond"]),
        {name: decode(part) for name, part in document.get("strata", {}).items()},
    )
