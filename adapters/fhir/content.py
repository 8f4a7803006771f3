"""Whether a server keeps what we wrote: the same content, whatever it added.

A server gives ids, versions, narratives and extra elements, turns ``urn:uuid`` into
``Type/id``, and may spell 2.50 as 2.5 and a time in another zone.  `project` brings what
it has back to the elements that we wrote, so that both sides give one digest.

Read next: `readback.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from adapters.fhir.terminology import Json

_INSTANT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")
# What a server owns: FHIR R4 Resource.id and implicitRules, and the narrative, which
# servers clean or make anew.  Of meta only tags and labels are compared.
_SERVER_OWNED = ("id", "text", "implicitRules")


def content_digest(resource: Mapping[str, Any], names: Mapping[str, str] | None) -> str:
    """Return ``sha256:<hex>`` of what we wrote in a resource.

    Parameters
    ----------
    resource : as written, or as `project` made it from what the server has.
    names : reference text (``urn:uuid:…`` or ``Type/id``) -> the name that both sides
        share, which is the search that finds the resource; None leaves literal
        references out of the digest.
    """
    kept = {key: value for key, value in resource.items() if key not in _SERVER_OWNED}
    kept["meta"] = _labels(resource.get("meta") or {})
    text = json.dumps(_normal(kept, names), sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def project(ours: Any, theirs: Any) -> Any:
    """Return what the server has of the elements that we wrote.

    Added elements fall away; a changed, missing or doubled one stays visible, because
    lists are compared as a whole.  Tags and labels are a set: added ones fall away too.
    """
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return {
            key: _subset(value, theirs[key]) if key == "meta" else project(value, theirs[key])
            for key, value in ours.items()
            if key in theirs
        }
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [project(one, other) for one, other in zip(ours, theirs, strict=True)]
    return theirs


def relink(ours: Any, theirs: Any, literal: Mapping[str, str]) -> Any:
    """Return the server's resource with our references pointing to what is there now.

    ``literal`` maps our ``urn:uuid`` to ``Type/id``; everything else stays the server's.
    """
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        changed = dict(theirs)
        for key, value in ours.items():
            if key == "reference" and value in literal:
                changed[key] = literal[value]
            elif key in theirs:
                changed[key] = relink(value, theirs[key], literal)
        return changed
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [relink(one, other, literal) for one, other in zip(ours, theirs, strict=True)]
    return theirs


def _labels(meta: Any) -> dict[str, list[list[str]]]:
    """Return tags and security labels as sorted (system, code) pairs."""
    return {key: sorted(_pair(item) for item in _codings(meta, key)) for key in _LABELS}


def _subset(ours: Any, theirs: Any) -> Json:
    wanted = _labels(ours)
    return {
        key: [item for item in _codings(theirs, key) if _pair(item) in wanted[key]]
        for key in _LABELS
    }


_LABELS = ("tag", "security")


def _codings(meta: Any, key: str) -> list[Mapping[str, Any]]:
    found = meta.get(key) if isinstance(meta, Mapping) else None
    return [item for item in found or [] if isinstance(item, Mapping)]


def _pair(item: Mapping[str, Any]) -> list[str]:
    return [str(item.get("system", "")), str(item.get("code", ""))]


def _normal(value: Any, names: Mapping[str, str] | None) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _reference(item, names) if key == "reference" else _normal(item, names)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_normal(item, names) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return repr(float(value))
    if isinstance(value, str) and _INSTANT.match(value):
        return _moment(value)
    return value


def _reference(value: Any, names: Mapping[str, str] | None) -> Any:
    if names is None:
        return None
    # A server may point to one version of a resource: Type/id/_history/version.
    return names.get(str(value).partition("/_history/")[0], value)


def _moment(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return text
