"""One run's transaction in parts, for a server that takes only small ones.

The run is one transaction wherever the server takes it.  Some do not: Medplum's router
(4.5.2) refuses a transaction with conditional creates that has more than eight entries.
The bundle is then posted in parts, in its own order, in which nothing points to what
comes later: the report comes after all of its results, so that nobody ever reads one
without them.  What an earlier part made is named by where the server keeps it.

Posting again completes what an interruption left, as for the whole: every entry of every
part is a conditional create.

Read next: `client.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from adapters.fhir.terminology import Json

LARGEST_PART = 8
_PLACE = re.compile(r"(?:^|/)([A-Za-z]+/[A-Za-z0-9.-]{1,64})(?:/_history/[^/]*)?$")


def parts(bundle: Json) -> Iterator[Json]:
    """Yield the bundle's entries, in order, as bundles of at most `LARGEST_PART`."""
    entries = bundle["entry"]
    for start in range(0, len(entries), LARGEST_PART):
        yield {**bundle, "entry": entries[start : start + LARGEST_PART]}


def located(value: Any, places: Mapping[str, str]) -> Any:
    """Return a bundle whose references to earlier parts are literal.

    Parameters
    ----------
    places : full URL of an entry -> ``Type/id``.
    """
    if isinstance(value, Mapping):
        return {
            key: places.get(item, item)
            if key == "reference" and isinstance(item, str)
            else located(item, places)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [located(item, places) for item in value]
    return value


def place_in(location: str, kind: str) -> str | None:
    """Return ``Type/id`` of an entry's location (FHIR R4 3.1.0.11.2), None where it has none.

    Examples
    --------
    >>> place_in("https://ehr.example/r4/Device/17/_history/2", "Device")
    'Device/17'
    """
    found = _PLACE.search(location)
    if found is None or found[1].partition("/")[0] != kind:
        return None
    return found[1]
