"""The one door to numba: functions that are compiled on first use and kept on disk.

Code that a release carries is imported from verified bytes and not from a file: there a function
is compiled anew in each process, and nothing on disk can stand in for it.
Compiled code releases the interpreter lock, so that threads may share one process.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Return `function` compiled for one thread."""
    kept: Function = numba.njit(cache=_from_file(function), nogil=True, error_model="numpy")(
        function
    )
    return kept


def compiled_parallel(function: Function) -> Function:
    """Return `function` compiled with its `numba.prange` loops on all threads."""
    kept: Function = numba.njit(
        cache=_from_file(function), nogil=True, parallel=True, error_model="numpy"
    )(function)
    return kept


def compiled_vector(function: Function) -> Function:
    """Return `function` compiled for one thread, its sums in any order and never NaN.

    So loops over neighbouring values become vector instructions; infinities keep their meaning.
    """
    flags = {"contract", "nnan", "nsz", "reassoc"}
    kept: Function = numba.njit(
        cache=_from_file(function), nogil=True, error_model="numpy", fastmath=flags
    )(function)
    return kept


def compiled_reordering(function: Function) -> Function:
    """Return `function` compiled on all threads, its sums in any order (vector code).

    For answers that need no more than single precision: they differ by about 1e-6.
    """
    kept: Function = numba.njit(
        cache=_from_file(function), nogil=True, parallel=True, error_model="numpy", fastmath=True
    )(function)
    return kept


def _from_file(function: Callable[..., Any]) -> bool:
    """Return whether a function's module was read from its file in the ordinary way."""
    return isinstance(function.__globals__.get("__loader__"), SourceFileLoader)


def thread_count() -> int:
    """Return on how many threads compiled work may run, as numba was given."""
    return int(numba.get_num_threads())
