"""What a server has of a bundle: compared entry by entry, decided without I/O.

Read next: `client.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.fhir.content import content_digest, project, relink
from adapters.fhir.marks import mark_of, marked
from adapters.fhir.terminology import Json

# Resources that others may have made first (the site's own study, an earlier run's
# device): the server keeps what it has, so only that they are there is verified.
SHARED = ("ImagingStudy", "Device")


@dataclass(frozen=True, slots=True)
class Compared:
    """Searches of the entries that are not as they were written.

    Parameters
    ----------
    missing : the server has none.
    different : it has one with other content.
    dangling : it has one with our content whose references point elsewhere, because what
        they pointed to was lost and made anew.
    """

    missing: tuple[str, ...]
    different: tuple[str, ...]
    dangling: tuple[str, ...]


def search_of(entry: Json) -> str:
    """Return the search that an entry of a bundle was conditionally created with."""
    return str(entry["request"]["ifNoneExist"])


def compare(bundle: Json, found: Mapping[str, Json | None], base_url: str) -> Compared:
    """Compare a bundle with what the server has, by search."""
    ours = {entry["fullUrl"]: search_of(entry) for entry in bundle["entry"]}
    theirs: dict[str, str] = {}
    for search, kept in found.items():
        if kept is not None:
            theirs[place_of(kept)] = theirs[f"{base_url}/{place_of(kept)}"] = search
    different, dangling = [], []
    for entry in bundle["entry"]:
        search, resource = search_of(entry), entry["resource"]
        kept = found[search]
        if kept is None or resource["resourceType"] in SHARED:
            continue
        if mark := mark_of(kept):  # a later run has superseded it since
            resource = marked(resource, mark)
        seen = project(resource, kept)
        if content_digest(resource, None) != content_digest(seen, None):
            different.append(search)
        elif content_digest(resource, ours) != content_digest(seen, theirs):
            dangling.append(search)
    missing = tuple(search for search, kept in found.items() if kept is None)
    return Compared(missing, tuple(different), tuple(dangling))


def relinked(bundle: Json, found: Mapping[str, Json | None], search: str) -> Json:
    """Return the server's resource under ``search`` with its references made good."""
    literal = {
        entry["fullUrl"]: place_of(kept)
        for entry in bundle["entry"]
        if (kept := found[search_of(entry)]) is not None
    }
    entry = next(item for item in bundle["entry"] if search_of(item) == search)
    changed: Json = relink(entry["resource"], found[search], literal)
    return changed


def place_of(resource: Json) -> str:
    """Return ``Type/id`` of a resource that a server gave."""
    return f"{resource['resourceType']}/{resource.get('id')}"
