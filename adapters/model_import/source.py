"""Open what a person points at: a folder, a zip, an ONNX or a TorchScript file.

Nothing is unpacked to disk and nothing is run.  Names inside a zip are only keys; a file
beside or above the folder, reached by a link, is left out.

Read next: `models/importers/source.py`, what it becomes.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from audit.errors import ModelImportError, NotFoundError
from models.importers.source import Source

LARGEST_BYTES = 16 * 2**30
MOST_FILES = 20_000
LARGEST_DOCUMENT = 20 * 2**20
_DOCUMENTS = (".json", ".yaml", ".yml")
MARKS = {"configs/metadata.json": "monai-bundle", "plans.json": "nnunet-v2"}
"""File that tells a format -> the format."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A model as it came, and which format it has."""

    format: str
    source: Source
    content: bytes = b""


def open_model(path: Path) -> Opened:
    """Return the model at a path.

    Raises
    ------
    NotFoundError : there is nothing.
    ModelImportError : it is none of the four formats.
    """
    if not path.exists():
        raise NotFoundError(f"expected a model at {path.name}, found nothing")
    if path.is_dir():
        return _of_files(_Folder(path), path.name)
    if path.suffix == ".onnx":
        return Opened("onnx", Source({}, {}), _content(path))
    if not zipfile.is_zipfile(path):
        expected = "a MONAI bundle, an nnU-Net folder, an ONNX or a TorchScript file"
        raise ModelImportError(path.name, expected, "another file")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(PurePosixPath(name).parts[1:2] == ("code",) for name in names):
        return Opened("torchscript", Source({}, {}), _content(path))
    return _of_files(_Zip(path), path.name)


def read_document(content: bytes, name: str) -> Any:
    """Return a JSON or YAML document; YAML makes plain values only.

    Raises
    ------
    ModelImportError : it is neither, or larger than 20 MiB.
    """
    if len(content) > LARGEST_DOCUMENT:
        raise ModelImportError(name, "a document of at most 20 MiB", f"{len(content)} bytes")
    try:
        if name.endswith(".json"):
            return json.loads(content)
        return yaml.safe_load(content)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        kind = "JSON" if name.endswith(".json") else "YAML"
        raise ModelImportError(name, f"a {kind} document", _where(error)) from error


def _of_files(files: Mapping[str, bytes], label: str) -> Opened:
    found = [kind for mark, kind in MARKS.items() if mark in files]
    if len(found) != 1:
        expected = "one of " + ", ".join(MARKS)
        raise ModelImportError(label, expected, " and ".join(found) or "none of them")
    return Opened(found[0], Source(files, _Documents(files)))


class _Documents(Mapping[str, Any]):
    """The JSON and YAML files among others, parsed when asked for."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return read_document(self._files[name], name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.endswith(_DOCUMENTS) and name in self._files

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._files if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Folder(Mapping[str, bytes]):
    """The files of a folder by relative name, read when asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        paths = (path for path in self._root.rglob("*") if path.is_file())
        inside = [path for path in paths if path.resolve().is_relative_to(self._root)]
        _check_amount(root.name, len(inside), sum(path.stat().st_size for path in inside))
        self._names = {path.relative_to(self._root).as_posix(): path for path in sorted(inside)}

    def __getitem__(self, name: str) -> bytes:
        return self._names[name].read_bytes()

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Zip(Mapping[str, bytes]):
    """The files of a zip by name, without a folder that holds all of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        _check_amount(path.name, len(entries), sum(entry.file_size for entry in entries))
        tops = {entry.filename.partition("/")[0] for entry in entries}
        nested = len(tops) == 1 and all("/" in entry.filename for entry in entries)
        prefix = f"{tops.pop()}/" if nested else ""
        self._names = {entry.filename.removeprefix(prefix): entry.filename for entry in entries}

    def __getitem__(self, name: str) -> bytes:
        try:
            with zipfile.ZipFile(self._path) as archive:
                return archive.read(self._names[name])
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
            found = type(error).__name__
            raise ModelImportError(name, "a whole file in the zip", found) from error

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _content(path: Path) -> bytes:
    _check_amount(path.name, 1, path.stat().st_size)
    return path.read_bytes()


def _check_amount(label: str, count: int, size: int) -> None:
    if count > MOST_FILES or size > LARGEST_BYTES:
        expected = f"at most {MOST_FILES} files and {LARGEST_BYTES >> 30} GiB"
        raise ModelImportError(label, expected, f"{count} files, {size >> 30} GiB")


def _where(error: Exception) -> str:
    """Return where parsing failed, without the document's content."""
    mark = getattr(error, "problem_mark", None)
    line = getattr(error, "lineno", None) or (mark.line + 1 if mark is not None else None)
    return f"a fault in line {line}" if line else "a fault"
