"""Read values out of a MONAI bundle's configuration without running it.

A bundle's configuration is a program: ``$`` starts a Python expression, ``@`` refers to
another entry, ``%`` includes another file, ``_target_`` names a class to be built.  Here
only references are followed; an expression where a plain value is needed is refused by its
place, so nothing of the bundle is ever executed.

Source: MONAI 1.6, "Bundle Configuration".

Read next: `monai_bundle.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.errors import ModelImportError
from models.importers import fields

_SEPARATOR = "::"
_MOST_STEPS = 50


@dataclass(frozen=True, slots=True)
class Config:
    """One configuration document and its name, for messages."""

    root: Mapping[str, Any]
    name: str

    def value(self, place: str) -> Any:
        """Return what lies at a place like ``inferer::roi_size``, references followed.

        Returns None where there is nothing.
        """
        found: Any = self.root
        for key in place.split(_SEPARATOR):
            found = self.resolved(found, place)
            if isinstance(found, Mapping):
                found = found.get(key)
            elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            else:
                return None
        return self.resolved(found, place)

    def resolved(self, value: Any, place: str) -> Any:
        """Return a value after following its references; an expression is refused."""
        for _ in range(_MOST_STEPS):
            if not isinstance(value, str):
                return value
            if value.startswith("@"):
                value = self._entry(value[1:], place)
            elif value.startswith(("$", "%")):
                raise ModelImportError(
                    f"{self.name}: {place}",
                    "a plain value",
                    f"an expression, {value[:40]!r}",
                    advice="Write the value itself into the bundle's configuration.",
                )
            else:
                return value
        raise ModelImportError(f"{self.name}: {place}", "a reference that ends", "a circle")

    def plain(self, value: Any, place: str) -> Any:
        """Return a value in which every reference, also within, was followed."""
        value = self.resolved(value, place)
        if isinstance(value, Mapping):
            return {
                key: self.plain(item, f"{place}{_SEPARATOR}{key}") for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.plain(item, place) for item in value]
        return value

    def component(self, value: Any, place: str) -> tuple[str, Mapping[str, Any]]:
        """Return class name and arguments of something that MONAI would build.

        The class is named without its module; arguments are as they stand.
        """
        found = fields.mapping(self.resolved(value, place), f"{self.name}: {place}")
        target = fields.text(found, "_target_", f"{self.name}: {place}")
        arguments = {key: item for key, item in found.items() if not key.startswith("_")}
        return target.rpartition(".")[2], arguments

    def components(self, place: str) -> list[tuple[str, Mapping[str, Any], str]]:
        """Return (class, arguments, place) of the members of a Compose; none where it is absent."""
        value = self.value(place)
        if value is None:
            return []
        if isinstance(value, Mapping):
            name, arguments = self.component(value, place)
            if name != "Compose":
                raise ModelImportError(f"{self.name}: {place}", "Compose", name[:40])
            value = self.resolved(arguments.get("transforms"), place)
            place = f"{place}{_SEPARATOR}transforms"
        found = []
        for index, item in enumerate(fields.listed(value, f"{self.name}: {place}")):
            inner = f"{place}{_SEPARATOR}{index}"
            resolved = self.resolved(item, inner)
            if isinstance(resolved, Mapping) and resolved.get("_disabled_") in (True, "true"):
                continue
            name, arguments = self.component(resolved, inner)
            found.append((name, arguments, inner))
        return found

    def _entry(self, reference: str, place: str) -> Any:
        found: Any = self.root
        for key in reference.replace("#", _SEPARATOR).split(_SEPARATOR):
            if isinstance(found, Mapping) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            else:
                raise ModelImportError(
                    f"{self.name}: {place}", "a reference to an entry", f"@{reference[:40]}"
                )
        return found
