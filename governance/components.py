"""Who supplies each component of a release, and under which licence; what is not known.

Every component of the bill of materials (CycloneDX 1.6, the machine-learning model among
them) needs a licence, and a supplier or the mark of free and open-source software, for
which no agreement with a supplier is asked (AI Act Article 25(4)).  `unknown_components`
finds those that lack one; `ComponentsGate` lets them stand in the way of clinical use.

Source: AI Act Article 25(4); CycloneDX 1.6; opensource.org/licenses for `OPEN_SOURCE`.

Read next: `gates.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from governance.difference_values import listed
from governance.gates import Objection, Passage
from governance.ports import GovernedStore

OPEN_SOURCE_MARK = "osteon:open-source"
"""Property of a component that says ``true`` where its licence is an open-source one."""

OPEN_SOURCE = frozenset(
    {
        *("0BSD", "AFL-3.0", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-2.0", "Artistic-2.0"),
        *("BlueOak-1.0.0", "BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0"),
        *("CNRI-Python", "EPL-2.0", "EUPL-1.2", "GPL-2.0-only", "GPL-2.0-or-later"),
        *("GPL-3.0-only", "GPL-3.0-or-later", "HPND", "ISC", "LGPL-2.1-only", "LGPL-2.1-or-later"),
        *("LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MIT-0", "MPL-1.1", "MPL-2.0", "NCSA"),
        *("OSL-3.0", "PostgreSQL", "PSF-2.0", "Python-2.0", "Unicode-3.0", "Unlicense", "UPL-1.0"),
        *("X11", "Zlib", "ZPL-2.1", "CC0-1.0", "MIT-CMU"),
    }
)
"""SPDX identifiers of free and open-source licences, of those in use: approved by the Open
Source Initiative, but for the last two (CC0-1.0: free after the FSF's list; MIT-CMU: the
permission notice of Pillow, allowed by Fedora's list)."""

SBOM = "sbom.json"
UNKNOWN = "unknown"
STATES = ("approved", "canary", "active")
ADVICE = (
    "State supplier and licence at the model's statement, or run `python -m adapters.licences`, "
    "and build the release again."
)
_WORD = re.compile(r"[A-Za-z0-9.+-]+")
_OPERATORS = ("AND", "OR", "WITH")


@dataclass(frozen=True, slots=True)
class UnknownComponent:
    """One component of which something is not known.

    Parameters
    ----------
    type : of CycloneDX: application, library, machine-learning-model, ...
    missing : ``licence``, ``supplier``, or both.
    """

    name: str
    version: str
    type: str
    missing: tuple[str, ...]


def is_open_source(expression: str) -> bool:
    """Tell whether an SPDX expression names open-source licences only.

    Examples
    --------
    >>> is_open_source("Apache-2.0 OR BSD-3-Clause"), is_open_source("proprietary")
    (True, False)
    """
    words = _WORD.findall(expression)
    exceptions = {words[i + 1] for i, word in enumerate(words[:-1]) if word == "WITH"}
    named = [word for word in words if word not in _OPERATORS and word not in exceptions]
    return bool(named) and all(word in OPEN_SOURCE for word in named)


def unknown_components(bill: Mapping[str, Any]) -> tuple[UnknownComponent, ...]:
    """Return the components of a bill of materials whose supplier or licence is not known.

    The product itself counts as one.  A bill that has no components at all knows nothing:
    it comes back as one unknown component of the type ``bill``.
    """
    components = [item for item in listed(bill.get("components")) if isinstance(item, Mapping)]
    if not components:
        return (UnknownComponent("bill of materials", "", "bill", ("licence", "supplier")),)
    metadata = bill.get("metadata")
    product = metadata.get("component") if isinstance(metadata, Mapping) else None
    found = [product] if isinstance(product, Mapping) else []
    return tuple(
        UnknownComponent(
            str(item.get("name", UNKNOWN)),
            str(item.get("version", "")),
            str(item.get("type", UNKNOWN)),
            missing,
        )
        for item in (*found, *components)
        if (missing := tuple(_missing(item)))
    )


@dataclass(frozen=True, slots=True)
class ComponentsGate:
    """The gate: in clinical mode no release comes into use with an unknown component.

    Parameters
    ----------
    bill : the bill of materials of a release digest; None where it has none.
    """

    bill: Callable[[str], Mapping[str, Any] | None]

    def __call__(self, passage: Passage, documents: GovernedStore) -> tuple[Objection, ...]:
        """Return one objection that names the first unknown components."""
        del documents
        if passage.mode != "clinical" or passage.after not in STATES:
            return ()
        found = unknown_components(self.bill(passage.release_digest) or {})
        if not found:
            return ()
        first = ", ".join(f"{item.name} ({' and '.join(item.missing)})" for item in found[:4])
        text = f"{len(found)} components have no known supplier or licence: {first}"
        return (Objection("COMPONENT_UNKNOWN", text, ADVICE),)


def _missing(item: Mapping[str, Any]) -> Iterator[str]:
    if not any(_names(choice) for choice in listed(item.get("licenses"))):
        yield "licence"
    supplier = item.get("supplier")
    named = isinstance(supplier, Mapping) and _known(supplier.get("name"))
    if not named and not _marked(item):
        yield "supplier"


def _names(choice: Any) -> bool:
    """Tell whether one entry of CycloneDX's ``licenses`` names a licence."""
    if not isinstance(choice, Mapping):
        return False
    licence = choice.get("license")
    inner = licence if isinstance(licence, Mapping) else {}
    return any(
        _known(value) for value in (choice.get("expression"), inner.get("id"), inner.get("name"))
    )


def _marked(item: Mapping[str, Any]) -> bool:
    return any(
        isinstance(entry, Mapping)
        and entry.get("name") == OPEN_SOURCE_MARK
        and entry.get("value") == "true"
        for entry in listed(item.get("properties"))
    )


def _known(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() not in ("", UNKNOWN, "noassertion")
