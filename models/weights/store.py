"""Keep weight files by digest, with one index that says what each of them is.

A file is named `<sha256>.safetensors` after its content, so it is stored once however many
releases use it, and it can be checked without trusting the index.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SCHEMA = "osteon.weights/1"
FOLDER = Path(__file__).resolve().parent
PLUGINS = FOLDER.parents[1] / "plugins"
"""Where published releases are frozen: ``NAME/releases/VERSION/manifest.json``."""
LARGEST_FILE_BYTES = 15_000_000


@dataclass(frozen=True, slots=True)
class WeightEntry:
    """Describe one weight file: what it is for, what it was trained on, and its digest."""

    role: str
    fold: int
    file: str
    digest: str
    recipe_digest: str
    trained_on: tuple[str, ...]
    source: str
    licence: str


def read_index(folder: Path = FOLDER) -> tuple[WeightEntry, ...]:
    """Return the entries of the index, ordered by role and fold; none where there is no index."""
    path = folder / "index.json"
    if not path.exists():
        return ()
    text: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if text.get("schema") != SCHEMA:
        raise ValueError(f"expected schema {SCHEMA}, found {text.get('schema')}")
    rows = [{**row, "trained_on": tuple(row["trained_on"])} for row in text["weights"]]
    return tuple(WeightEntry(**row) for row in rows)


def weight_paths(role: str, folder: Path = FOLDER) -> tuple[Path, ...]:
    """Return the files of a role in order of their fold; raise ValueError where there is none."""
    paths = tuple(folder / entry.file for entry in read_index(folder) if entry.role == role)
    if not paths:
        raise ValueError(f"expected weights with the role {role} in {folder}, found none")
    return paths


def check_weights(entry: WeightEntry, folder: Path = FOLDER) -> None:
    """Raise ValueError unless the file has the digest and the size limit of its entry."""
    content = (folder / entry.file).read_bytes()
    found = "sha256:" + hashlib.sha256(content).hexdigest()
    if found != entry.digest:
        raise ValueError(f"expected {entry.file} to have digest {entry.digest}, found {found}")
    if len(content) > LARGEST_FILE_BYTES:
        raise ValueError(f"expected {entry.file} below 15 MB, found {len(content)} bytes")


def store_role(
    role: str,
    members: Sequence[tuple[bytes, int, str, Sequence[str]]],
    source: str,
    licence: str,
    folder: Path = FOLDER,
    plugins: Path = PLUGINS,
) -> tuple[WeightEntry, ...]:
    """Replace the files of a role and return its new entries.

    Each member is (content, fold, recipe digest, training patients). Files that neither an entry
    nor a published release names any more are removed.
    """
    published = _published(plugins)
    entries = [entry for entry in read_index(folder) if entry.role != role]
    for content, fold, recipe_digest, trained_on in members:
        digest = hashlib.sha256(content).hexdigest()
        (folder / f"{digest}.safetensors").write_bytes(content)
        entries.append(
            WeightEntry(
                role,
                fold,
                f"{digest}.safetensors",
                f"sha256:{digest}",
                recipe_digest,
                tuple(sorted(trained_on)),
                source,
                licence,
            )
        )
    entries.sort(key=lambda entry: (entry.role, entry.fold))
    text = {"schema": SCHEMA, "weights": [asdict(entry) for entry in entries]}
    (folder / "index.json").write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
    named = published | {entry.file for entry in entries}
    for path in folder.glob("*.safetensors"):
        if path.name not in named:
            path.unlink()
    return tuple(entry for entry in entries if entry.role == role)


def _published(plugins: Path) -> set[str]:
    """Return the weight files that published releases name; an unreadable manifest is an error,
    so that nothing is removed on a guess."""
    named: set[str] = set()
    for path in plugins.glob("*/releases/*/manifest.json"):
        named.update(json.loads(path.read_text(encoding="utf-8")).get("weights", ()))
    return named
