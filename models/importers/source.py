"""A model as it came: its files by name, its documents parsed, and what a person states of it.

Who opens folders and archives and parses YAML gives these values; the readers
(`nnunet.py`, `monai_bundle.py`, `single_file.py`) turn them into an `Imported`.

Read next: `statement.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from audit.errors import ModelImportError
from models.importers.description import Description


@dataclass(frozen=True, slots=True)
class Source:
    """The files of a model.

    Parameters
    ----------
    files : bytes by relative name, read when asked for.
    documents : parsed JSON and YAML files by relative name.
    """

    files: Mapping[str, bytes]
    documents: Mapping[str, Any]

    def document(self, name: str) -> Any:
        """Return a document that must be there."""
        if name not in self.documents:
            raise ModelImportError(name, "a JSON or YAML document", "no such file")
        return self.documents[name]

    def file(self, name: str) -> bytes:
        """Return the bytes of a file that must be there."""
        if name not in self.files:
            raise ModelImportError(name, "a file", "no such file")
        return self.files[name]


@dataclass(frozen=True, slots=True)
class Imported:
    """A model that a release can carry.

    Parameters
    ----------
    weights : content of each file that ``description.network.files`` names.
    facts : what the model says of itself (version, authors, licence, data), for its card.
    """

    description: Description
    weights: Mapping[str, bytes]
    facts: Mapping[str, str] = field(default_factory=dict)
