"""The findings of a run, kept in its outbox until they are compared with another release's.

One file, ``findings.npz``: masks as packed bits with the grid that they lie on, numbers as
they are.  It is read without pickle and removed when the comparison is kept.

Read next: `comparing.py`.
"""

from __future__ import annotations

import io
import json
import os
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.errors import StorageError
from governance.agreement import agreement_of_masks, agreement_of_numbers
from plugins.host.findings import Classification, DoseGrid, Finding, Measurement, Segmentation
from plugins.host.ports import Answer

NAME = "findings.npz"
_DIGITS = 6
Part = Segmentation | Measurement | Classification | tuple[str, Measurement]
_DAMAGE = (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True)
class Kept:
    """One finding: the bits of a mask and its grid, or numbers by name."""

    name: str
    grid: str
    bits: NDArray[np.uint8]
    numbers: dict[str, float]


def save(outbox: Path, run_id: str, answer: Answer) -> None:
    """Keep the findings of an answer; a second call replaces them by the same.

    An abstention is kept as no finding.
    """
    arrays: dict[str, NDArray[np.uint8]] = {}
    rows = []
    for number, item in enumerate(_parts(answer.prediction.findings)):
        row: dict[str, Any] = {"name": _name(item), "grid": "", "numbers": {}}
        if isinstance(item, tuple):
            row["numbers"] = {"value": float(item[1].value)}
        elif isinstance(item, Segmentation):
            arrays[f"mask-{number}"] = np.packbits(item.mask)
            row |= {"grid": _grid(item), "mask": f"mask-{number}"}
        elif isinstance(item, Measurement):
            row["numbers"] = {"value": float(item.value)}
        else:
            row["numbers"] = {code.value: float(share) for code, share in item.probabilities}
        rows.append(row)
    sink = io.BytesIO()
    table = np.frombuffer(json.dumps(rows).encode(), np.uint8)
    np.savez_compressed(sink, allow_pickle=False, table=table, **arrays)
    folder = outbox / run_id
    folder.mkdir(parents=True, exist_ok=True)
    arriving = folder / f".{NAME}-{os.getpid()}-{threading.get_ident()}"
    arriving.write_bytes(sink.getvalue())
    arriving.replace(folder / NAME)


def load(outbox: Path, run_id: str) -> tuple[Kept, ...] | None:
    """Return what `save` kept; None where there is nothing.

    Raises
    ------
    StorageError : the file is damaged.
    """
    try:
        with np.load(outbox / run_id / NAME, allow_pickle=False) as archive:
            rows = json.loads(archive["table"].tobytes())
            return tuple(
                Kept(
                    str(row["name"]),
                    str(row["grid"]),
                    archive[row["mask"]] if "mask" in row else np.empty(0, np.uint8),
                    {str(key): float(value) for key, value in row["numbers"].items()},
                )
                for row in rows
            )
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        raise StorageError(f"expected the findings of run {run_id}, found damage") from error


def remove(outbox: Path, run_id: str) -> None:
    """Let kept findings go."""
    (outbox / run_id / NAME).unlink(missing_ok=True)


def agreement(first: tuple[Kept, ...], second: tuple[Kept, ...]) -> dict[str, float]:
    """Return the agreement of each finding; one that only one side has counts 0.

    Masks on different grids cannot be compared voxel by voxel and count 0 as well: the two
    releases chose different images.
    """
    left, right = ({item.name: item for item in side} for side in (first, second))
    return {
        name: round(_alike(left.get(name), right.get(name)), _DIGITS)
        for name in sorted({*left, *right})
    }


def _alike(first: Kept | None, second: Kept | None) -> float:
    if first is None or second is None or first.grid != second.grid:
        return 0.0
    if first.grid:
        counts = [int(np.bitwise_count(item.bits).sum()) for item in (first, second)]
        common = int(np.bitwise_count(first.bits & second.bits).sum())
        return agreement_of_masks(counts[0], counts[1], common)
    if set(first.numbers) != set(second.numbers):
        return 0.0
    if set(first.numbers) == {"value"}:
        return agreement_of_numbers(first.numbers["value"], second.numbers["value"])
    pairs = [(first.numbers[key], second.numbers[key]) for key in first.numbers]
    return max(0.0, 1.0 - max((abs(p - q) for p, q in pairs), default=0.0))


def _parts(findings: Sequence[Finding]) -> Iterator[Part]:
    """Yield what is compared: of a dose, each point of each structure by itself."""
    for item in findings:
        if isinstance(item, DoseGrid):
            for region in item.regions:
                yield from ((region.name, point) for point in region.measurements)
        else:
            yield item


def _name(item: Part) -> str:
    if isinstance(item, tuple):
        return f"{item[0]} {item[1].code.value}"
    if isinstance(item, Segmentation):
        return item.name
    return item.code.value if isinstance(item, Measurement) else item.question.value


def _grid(item: Segmentation) -> str:
    """Return the grid as text: sizes, and place and direction to a micrometre."""
    geometry = item.geometry
    numbers = [*geometry.spacing_mm, *geometry.origin_mm, *np.asarray(geometry.axes).ravel()]
    return json.dumps([list(geometry.shape), [round(float(n), 3) + 0.0 for n in numbers]])
