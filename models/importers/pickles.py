"""Read a torch checkpoint without letting its pickle do anything.

A checkpoint is a zip with a pickle inside, and a pickle is a program.  It is looked at
first: which Python objects does it name?  Only tensors, plain containers and the numbers of
NumPy may be there; anything else is refused by name.  Then torch's restricted unpickler
(``weights_only``) reads it.  What comes out goes into a release as safetensors.

Read next: `nnunet_weights.py`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from audit.errors import ModelImportError

HARMLESS = frozenset(
    {
        *("numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar", "numpy.dtype"),
        *(f"numpy.dtypes.{kind}DType" for kind in ("Float32", "Float64", "Int32", "Int64")),
    }
)
"""Objects beside tensors that nnU-Net writes into its logs: numbers of NumPy."""


def read_checkpoint(content: bytes, name: str) -> Any:
    """Return what a checkpoint holds.

    Parameters
    ----------
    name : of the file, for messages.

    Raises
    ------
    ModelImportError : the file is no checkpoint, or names objects beyond plain tensors.
    """
    import torch

    named = _objects_in(content, name)
    strangers = sorted(named - HARMLESS)
    if strangers:
        raise ModelImportError(
            name,
            "tensors and plain values only",
            f"pickled objects: {', '.join(word[:80] for word in strangers[:5])}",
            advice="Save the state dict alone (torch.save(model.state_dict(), ...)).",
        )
    try:
        with torch.serialization.safe_globals(_numbers()):
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch gives unpickling, zip and key errors for a bad file
        raise ModelImportError(name, "a torch checkpoint", type(error).__name__) from error


def state_of(checkpoint: Any, name: str) -> dict[str, Any]:
    """Return the tensors of a checkpoint by name, out of the usual wrappings.

    Raises
    ------
    ModelImportError : there are values among them that are no tensors.
    """
    import torch

    found = checkpoint
    for key in ("network_weights", "state_dict", "model", "network"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not found:
        raise ModelImportError(name, "tensors by name", type(found).__name__)
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise ModelImportError(f"{name}: {str(key)[:60]}", "a tensor", type(value).__name__)
    return {key.removeprefix("_orig_mod.").removeprefix("module."): v for key, v in found.items()}


def to_safetensors(tensors: Mapping[str, Any]) -> bytes:
    """Return tensors as a safetensors file; the same tensors give the same bytes."""
    from safetensors.torch import save

    content: bytes = save({name: tensors[name].detach().contiguous() for name in sorted(tensors)})
    return content


def _objects_in(content: bytes, name: str) -> set[str]:
    """Return the Python objects that a checkpoint's pickle names and torch does not know."""
    import torch

    try:
        return set(torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content)))
    except Exception as error:  # as above: whatever a broken file leads into
        raise ModelImportError(name, "a torch checkpoint", type(error).__name__) from error


def _numbers() -> list[Any]:
    """Return the objects behind `HARMLESS` as torch's unpickler wants them."""
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    kinds = (np.float32, np.float64, np.int32, np.int64)
    return [
        (scalar, "numpy._core.multiarray.scalar"),
        (scalar, "numpy.core.multiarray.scalar"),
        np.dtype,
        *(type(np.dtype(kind)) for kind in kinds),
    ]
