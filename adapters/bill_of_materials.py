"""The bill of materials of a release: a CycloneDX 1.6 document of the pinned libraries.

The pins come from ``constraints.txt`` where the suite runs from its repository, else from
the distributions that are installed.  No time and no serial number are written, so that
the same pins give the same bytes.

Source: CycloneDX 1.6 JSON; purl-spec, type ``pypi``.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

import audit

CONSTRAINTS = "constraints.txt"
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+)")


def bill_of_materials(plugin: str, plugin_version: str) -> bytes:
    """Return the CycloneDX document of a plugin's release as JSON bytes."""
    reference = f"{plugin}@{plugin_version}"
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": reference,
                "name": plugin,
                "version": plugin_version,
            }
        },
        "components": [
            {
                "type": "library",
                "bom-ref": f"pkg:pypi/{name}@{pinned}",
                "name": name,
                "version": pinned,
                "purl": f"pkg:pypi/{name}@{pinned}",
            }
            for name, pinned in sorted(_pinned().items())
        ],
        "dependencies": [
            {
                "ref": reference,
                "dependsOn": [f"pkg:pypi/{name}@{v}" for name, v in sorted(_pinned().items())],
            }
        ],
    }
    return (json.dumps(document, indent=1) + "\n").encode()


def without_local(text: str) -> str:
    """Return a version without its local part: ``2.13.0+cpu`` is ``2.13.0`` (PEP 440)."""
    return text.partition("+")[0]


def _pinned() -> dict[str, str]:
    """Return normalised distribution name -> version."""
    path = Path(str(audit.__file__)).resolve().parents[1] / CONSTRAINTS
    if not path.is_file():
        found = ((d.metadata["Name"], d.version) for d in distributions())
        return {_normal(name): without_local(v) for name, v in found if _normal(name) != "osteon"}
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    matches = (_PIN.match(line) for line in lines)
    pins = {_normal(m.group(1)): without_local(m.group(2)) for m in matches if m}
    if "torch" not in pins:  # it is installed by itself, before the rest
        with suppress(PackageNotFoundError):
            pins["torch"] = without_local(version("torch"))
    return pins


def _normal(name: str) -> str:
    """Return the normalised name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
