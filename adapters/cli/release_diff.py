"""`osteon release diff OLD NEW`: what differs between two releases, for a person.

Read next: `governance/difference.py`, which finds it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json, echo_table

if TYPE_CHECKING:
    from governance.difference import Change, ReleaseDifference
    from governance.release import Release

_NAME = "A .osteon file, a digest, a plugin, or plugin-version."
Row = tuple[str, str, str, str]
_LONGEST = 80
_TENSORS_SHOWN = 20


def diff(
    old: Annotated[str, typer.Argument(help=_NAME)],
    new: Annotated[str, typer.Argument(help=_NAME)],
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two releases: code, weights by tensor, purpose, limits, training, runtime."""
    from governance.difference import difference, encode

    found = difference(_release(old, home, config), _release(new, home, config))
    if as_json:
        echo_json(encode(found))
        return
    if found.is_empty:
        typer.echo(f"the same release: {found.old_digest}")
        return
    typer.echo(f"old {found.old_digest}\nnew {found.new_digest}")
    echo_table("Differences", ("area", "code", "where", "what"), _rows(found))


def _release(name: str, home: Path | None, config: Path | None) -> Release:
    """Return a release from a file, or one that lies at this site."""
    from adapters.compose import open_site
    from adapters.home import locate
    from governance.release import open_release

    path = Path(name)
    if path.is_file() or path.suffix == ".osteon":
        return open_release(path)
    with open_site(locate(home), config) as site:
        row = site.registry.find(name)
        return open_release(Path(row.path), row.digest)


def _rows(found: ReleaseDifference) -> Iterator[Row]:
    from governance.difference import AREAS

    for area in AREAS:
        for change in found.changes(area):
            yield from _change_rows(area, change)
    for word in ("added", "removed"):
        patients = getattr(found.training, f"patients_{word}")
        if patients:
            yield "training", f"patients {word}", str(len(patients)), _short(", ".join(patients))


def _change_rows(area: str, change: Change) -> Iterator[Row]:
    from governance.difference_code import FileChange
    from governance.difference_weights import WeightChange

    if isinstance(change, FileChange):
        lines = f"{change.subject}: +{change.lines_added} -{change.lines_removed} lines"
        yield area, change.code, change.path, lines
    elif isinstance(change, WeightChange):
        names = f"{change.old_name[:20]} → {change.new_name[:20]}"
        yield area, change.code, names, _weights_in_words(change)
        for tensor in change.tensors[:_TENSORS_SHOWN]:
            shapes = f"{tensor.old_shape} → {tensor.new_shape}"
            size = _size(tensor.max_difference, tensor.mean_difference)
            equal = tensor.old_shape == tensor.new_shape
            yield area, tensor.code, tensor.name, size if equal else shapes
        if len(change.tensors) > _TENSORS_SHOWN:
            yield area, "…", "", f"{len(change.tensors) - _TENSORS_SHOWN} more; see --json"
    else:
        yield area, change.code, change.path, f"{_short(change.old)} → {_short(change.new)}"


def _weights_in_words(change: Any) -> str:
    if not change.comparable:
        return "cannot be compared by tensor"
    size = _size(change.max_difference, change.mean_difference)
    return f"{len(change.tensors)} of {change.tensor_count} tensors, {size}"


def _size(largest: float | None, mean: float | None) -> str:
    if largest is None or mean is None:
        return "size of the difference unknown"
    return f"largest difference {largest:.3g}, mean {mean:.3g}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
