"""The licence of every pinned library, in a table that is kept beside the pins.

    python -m adapters.licences [FOLDER]

reads the metadata of what is installed (in FOLDER too, where one is given) and writes
`component_licences.json`; an entry whose library is not installed here stays as it is.  The
table is kept, and not read anew for each release, so that the same code gives the same bill
of materials on every machine.

Source: Core metadata specifications (packaging.python.org): License-Expression (PEP 639),
License, Classifier.

Read next: `bill_of_materials.py`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path

import audit
from governance.components import is_open_source

TABLE = Path(__file__).with_name("component_licences.json")
SCHEMA = "osteon.licences/1"
CONSTRAINTS = "constraints.txt"
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+)")
_APPROVED = "License :: OSI Approved :: "
_MIT = "permission is hereby granted, free of charge, to any person obtaining a copy"

# What distributions write instead of an SPDX identifier -> the identifier.
_SPDX: Mapping[str, str] = {
    **{"apache 2.0": "Apache-2.0", "apache": "Apache-2.0", "apache license 2.0": "Apache-2.0"},
    **{"apache software license": "Apache-2.0", "bsd-2-clause license": "BSD-2-Clause"},
    **{"bsd 2-clause license": "BSD-2-Clause", "3-clause bsd license": "BSD-3-Clause"},
    **{"mit license": "MIT", "isc license": "ISC", "isc license (iscl)": "ISC"},
    **{"mozilla public license 2.0 (mpl 2.0)": "MPL-2.0", "zpl 2.1": "ZPL-2.1"},
    **{"python software foundation license": "PSF-2.0", "psfl": "PSF-2.0"},
}


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence as an SPDX expression, or by the name that its owner gives it."""

    text: str
    is_spdx: bool
    open_source: bool


def pins() -> dict[str, str]:
    """Return normalised name -> version of ``constraints.txt``; empty outside the repository."""
    path = Path(str(audit.__file__)).resolve().parents[1] / CONSTRAINTS
    if not path.is_file():
        return {}
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    matches = (_PIN.match(line) for line in lines)
    return {normal(found.group(1)): found.group(2) for found in matches if found}


@cache
def licences() -> Mapping[str, Licence]:
    """Return normalised name -> licence of the table."""
    if not TABLE.is_file():
        return {}
    rows = json.loads(TABLE.read_text("utf-8"))["licences"]
    return {name: Licence(**row) for name, row in rows.items()}


def licence_of(distribution: Distribution) -> Licence | None:
    """Return the licence that a distribution states; None where it states none."""
    metadata = distribution.metadata
    classifiers = metadata.get_all("Classifier") or []
    approved = [line.removeprefix(_APPROVED) for line in classifiers if line.startswith(_APPROVED)]
    expression = stated(distribution, "License-Expression")
    if expression:
        return Licence(expression, True, is_open_source(expression) or bool(approved))
    for text in (stated(distribution, "License"), *approved):
        short = text.strip()
        spdx = short if is_open_source(short) else _SPDX.get(short.lower())
        if spdx:
            return Licence(spdx, True, True)
    if approved:
        return Licence(" or ".join(approved), False, True)
    return Licence("MIT", True, True) if _has_mit_text(distribution) else None


def stated(distribution: Distribution, key: str) -> str:
    """Return a field of a distribution's metadata; empty where it is not stated."""
    return str(distribution.metadata[key]) if key in distribution.metadata else ""


def normal(name: str) -> str:
    """Return the normalised name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(folders: Iterable[str]) -> None:
    """Write the table of all pinned libraries."""
    wanted = {*pins(), "torch"}
    found = dict(licences())
    for distribution in distributions(path=[*sys.path, *folders]):
        name = normal(str(distribution.metadata["Name"]))
        licence = licence_of(distribution) if name in wanted else None
        if licence is not None:
            found[name] = licence
    rows = {
        name: {"text": row.text, "is_spdx": row.is_spdx, "open_source": row.open_source}
        for name, row in sorted(found.items())
        if name in wanted
    }
    document = {"schema": SCHEMA, "licences": rows}
    TABLE.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _has_mit_text(distribution: Distribution) -> bool:
    """Tell whether a licence file of the distribution has the words of the MIT licence."""
    for file in distribution.files or ():
        if "licen" in file.name.lower():
            text = " ".join(file.read_text(encoding="utf-8").split()).lower()
            if _MIT in text:
                return True
    return False


if __name__ == "__main__":
    main(sys.argv[1:])
