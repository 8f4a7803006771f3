"""Has a hospital become the provider?  A release here against the publisher's release.

Who puts their name on a high-risk system, changes its purpose, or modifies it substantially
becomes its provider (Art. 25(1)).  A release that the publisher did not sign is compared with
the publisher's release of the same plugin; weights, thresholds, purpose or code that differ
are findings.  In clinical mode they block until the site declares itself the provider; in
research mode they stand on record.  A plugin that has no publisher but this site is the
site's own, and no shift.

Source: REGULATORY.md row AIA-25.1; Regulation (EU) 2024/1689 Art. 25(1).

Read next: `change/gates.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from governance.difference import ReleaseDifference
from governance.gates import Objection, Passage
from governance.ports import GovernedStore

KIND = "release_origin"
"""Governed document by release digest: who signed it, and what differs from the publisher's."""
SCHEMA = "osteon.release_origin/1"
_USED = ("shadow", "canary", "active")

AREAS: Mapping[str, str] = {
    **dict.fromkeys(("weights", "training"), "LOCAL_WEIGHTS"),
    **dict.fromkeys(("parameters",), "LOCAL_THRESHOLD"),
    **dict.fromkeys(("purpose", "inputs", "outputs", "envelope", "routing"), "LOCAL_PURPOSE"),
    **dict.fromkeys(("code", "preprocessing", "architecture"), "LOCAL_CODE"),
}
"""Area of a difference -> what a change in it is; runtime and documents make no provider."""
_NAMES = ("PLUGIN_CHANGED", "TITLE_CHANGED")
TEXTS: Mapping[str, str] = {
    "LOCAL_NAME": "it has another name than the publisher's release",
    "LOCAL_WEIGHTS": "its weights are not the publisher's",
    "LOCAL_THRESHOLD": "its parameters or thresholds are not the publisher's",
    "LOCAL_PURPOSE": "its purpose, inputs, outputs or limits are not the publisher's",
    "LOCAL_CODE": "its code is not the publisher's",
    "LOCAL_STATEMENT": "it states something that the publisher's release does not",
    "LOCAL_RUN_PARAMETERS": "clinical runs used other parameters than the release states",
    "LOCAL_UNCOMPARED": "the publisher's release does not lie here to compare with",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a release comes from.

    Parameters
    ----------
    publisher : it is the publisher's own, or the plugin has no publisher but this site.
    compared_with : digest of the publisher's release; empty where there was none.
    findings : codes of `TEXTS`, sorted; none where it is the publisher's.
    declared_by : who declared the site to be the provider; empty where nobody did.
    """

    plugin: str
    publisher: bool
    compared_with: str
    findings: tuple[str, ...]
    recorded_at: datetime
    declared_by: str = ""


def findings(difference: ReleaseDifference) -> tuple[str, ...]:
    """Return what of a local release is not the publisher's, as codes of `TEXTS`."""
    found = {code for area, code in AREAS.items() if difference.changes(area)}
    for change in difference.identity:
        if change.code in _NAMES:
            found.add("LOCAL_NAME")
        elif change.code not in ("VERSION_CHANGED", "BUILDER_CHANGED"):
            found.add("LOCAL_STATEMENT")
    return tuple(sorted(found))


def parameter_edits(
    stated: Mapping[str, Any], used: Mapping[str, Any], free: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the parameters of a run that are not those of its release.

    Parameters
    ----------
    free : parameters that belong to a case and not to the release, e.g. a seed point.
    """
    names = sorted({*stated, *used} - set(free))
    return tuple(name for name in names if stated.get(name) != used.get(name))


def encode(origin: Origin) -> dict[str, Any]:
    """Return the content of the governed document; inverse of `decode`."""
    return {
        "schema": SCHEMA,
        "plugin": origin.plugin,
        "publisher": origin.publisher,
        "compared_with": origin.compared_with,
        "findings": list(origin.findings),
        "recorded_at": origin.recorded_at.isoformat(),
        "declared_by": origin.declared_by,
    }


def decode(content: Mapping[str, Any]) -> Origin:
    """Return the origin in a governed document."""
    return Origin(
        plugin=str(content["plugin"]),
        publisher=content["publisher"] is True,
        compared_with=str(content["compared_with"]),
        findings=tuple(content["findings"]),
        recorded_at=datetime.fromisoformat(content["recorded_at"]),
        declared_by=str(content["declared_by"]),
    )


@dataclass(frozen=True, slots=True)
class ProviderGate:
    """Objects in clinical mode to a release that made this site a provider unsaid; a `Gate`.

    The release is compared at the moment of the passage, since the publisher's may have come
    after it; a declaration counts for the findings that it was made for.

    Parameters
    ----------
    compare : returns the origin of a release as it is now.
    """

    compare: Callable[[str], Origin]

    def __call__(self, passage: Passage, documents: GovernedStore) -> tuple[Objection, ...]:
        """Return one objection for each finding, unless the site declared itself the provider."""
        if passage.mode != "clinical" or passage.after not in _USED:
            return ()
        document = documents.governed(KIND, passage.release_digest)
        known = decode(document.content) if document else None
        declared = set(known.findings) if known and known.declared_by else set()
        return tuple(
            Objection(
                "PROVIDER_SHIFT",
                f"{code}: {TEXTS[code]}; who modifies it becomes its provider (Art. 25(1))",
                "Use the publisher's release, or declare this site the provider: "
                f"`osteon change origin {passage.release_digest} --declare-provider`.",
            )
            for code in self.compare(passage.release_digest).findings
            if code not in declared
        )
