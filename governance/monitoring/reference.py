"""The reference window: what a release saw when it was validated, as numbers that travel with it.

Each number is kept by itself, sorted and at two digits, each category as counts: no row of a
patient can be read out of it.  Of embeddings stay a mean, a precision and sorted distances.  It is
an attachment of the release (`reference_window.json`) and names its digest; a new release has a
window of its own, so nothing is carried over silently.

Source: SEAMS.md, Release; issue 6, How.

Read next: `plan.py`, `watch.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from audit.errors import SuiteError
from governance.monitoring.conformal import rounded
from governance.monitoring.embedding import Distance, reference_distance
from governance.monitoring.tails import LEAST_REFERENCE

ATTACHMENT = "reference_window.json"
SCHEMA = "osteon.reference_window/1"
EMBEDDING = "embedding"
_EMBEDDING_MISS = 0.5  # only the distance is kept; the limits are made anew by who watches


@dataclass(frozen=True, slots=True)
class Observation:
    """What a run left behind: numbers and categories by name, and the encoder's embedding."""

    case: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    categories: Mapping[str, str] = field(default_factory=dict)
    embedding: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ReferenceWindow:
    """The reference of a release.

    Parameters
    ----------
    source : whose cases these are, in words.
    numbers : values by name, sorted.
    categories : how often each value came, by name.
    distance, distances : of embeddings; None and empty where there were too few.
    """

    release_digest: str
    source: str
    cases: int
    numbers: Mapping[str, tuple[float, ...]]
    categories: Mapping[str, Mapping[str, int]]
    distance: Distance | None = None
    distances: tuple[float, ...] = ()


def make_reference(
    release_digest: str, source: str, observations: Sequence[Observation]
) -> ReferenceWindow:
    """Return the window of some cases; what fewer than 20 of them have is left out.

    Raises
    ------
    SuiteError : fewer than 20 cases.
    """
    if len(observations) < LEAST_REFERENCE:
        raise SuiteError(
            f"expected {LEAST_REFERENCE} cases for a reference, found {len(observations)}"
        )
    numbers: dict[str, list[float]] = {}
    categories: dict[str, Counter[str]] = {}
    for item in observations:
        for name, value in item.numbers.items():
            if math.isfinite(value):
                numbers.setdefault(name, []).append(float(rounded(np.asarray(value))))
        for name, word in item.categories.items():
            categories.setdefault(name, Counter())[word] += 1
    rows = [item.embedding for item in observations if item.embedding]
    distance: Distance | None = None
    kept: tuple[float, ...] = ()
    if len(rows) >= 2 * LEAST_REFERENCE and len({len(row) for row in rows}) == 1:
        distance, _ = reference_distance(rows, _EMBEDDING_MISS)
        kept = tuple(sorted(float(d) for d in distance.of(np.asarray(rows[::2]))))
    return ReferenceWindow(
        release_digest,
        source,
        len(observations),
        {n: tuple(sorted(v)) for n, v in sorted(numbers.items()) if len(v) >= LEAST_REFERENCE},
        {
            n: dict(sorted(c.items()))
            for n, c in sorted(categories.items())
            if c.total() >= LEAST_REFERENCE
        },
        distance,
        kept,
    )


def encode(window: ReferenceWindow) -> dict[str, Any]:
    """Return a window as JSON values; inverse of `decode`."""
    return {
        "schema": SCHEMA,
        "release_digest": window.release_digest,
        "source": window.source,
        "cases": window.cases,
        "numbers": {name: list(values) for name, values in window.numbers.items()},
        "categories": {name: dict(counts) for name, counts in window.categories.items()},
        "distance": None
        if window.distance is None
        else {
            "mean": list(window.distance.mean),
            "precision": [list(row) for row in window.distance.precision],
        },
        "distances": list(window.distances),
    }


def decode(document: Mapping[str, Any], release_digest: str) -> ReferenceWindow:
    """Return the window of a document.

    Raises
    ------
    SuiteError : it is not one, or belongs to another release.
    """
    try:
        if document["schema"] != SCHEMA or document["release_digest"] != release_digest:
            raise SuiteError("expected the reference window of this release, found another")
        given = document["distance"]
        return ReferenceWindow(
            release_digest,
            str(document["source"]),
            int(document["cases"]),
            {n: tuple(sorted(map(float, v))) for n, v in document["numbers"].items()},
            {n: {k: int(c) for k, c in v.items()} for n, v in document["categories"].items()},
            None
            if given is None
            else Distance(
                tuple(map(float, given["mean"])),
                tuple(tuple(map(float, row)) for row in given["precision"]),
            ),
            tuple(map(float, document["distances"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SuiteError("expected a reference window, found a malformed document") from error
