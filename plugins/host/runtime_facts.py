"""What an answer depended on besides the release and the case.

Two runs of one release on one case are equal bit for bit where these facts are equal,
and equal within the stated tolerance where they are not.

Read next: `worker.py`.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# The instruction sets that numerical libraries choose their kernels by, widest first.
_INSTRUCTION_SETS = ("amx_tile", "avx512f", "avx2", "avx", "sve", "asimd")
_ALWAYS = ("numpy", "scipy", "torch")


def runtime_facts(pins: Mapping[str, str]) -> dict[str, str]:
    """Return versions of interpreter and loaded libraries, processor class and flags.

    ``pins`` are the versions that the release was built with; ``pins`` in the result says
    ``as built``, or which loaded library differs.
    """
    facts = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
    }
    for name in sorted({*_ALWAYS, *pins}):
        if name in sys.modules:
            facts[name] = _version(name)
    different = [
        f"{n} {pins[n]} to {facts[n]}" for n in sorted(pins) if facts.get(n, pins[n]) != pins[n]
    ]
    facts["pins"] = f"differ: {', '.join(different)}" if different else "as built"
    flags = [f"hash_seed={os.environ.get('PYTHONHASHSEED', 'random')}"]
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "are_deterministic_algorithms_enabled"):
        flags.append(f"torch_deterministic={torch.are_deterministic_algorithms_enabled()}")
        flags.append(f"torch_threads={torch.get_num_threads()}")
    facts["flags"] = " ".join(flags)
    return facts


@cache
def _processor() -> str:
    """Return the processor's name and its widest listed instruction set."""
    name, flags = platform.machine(), frozenset[str]()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return name
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        if key.strip() in ("flags", "Features"):
            flags = frozenset(value.split())
            break
    widest = next((item for item in _INSTRUCTION_SETS if item in flags), "plain")
    return f"{name}; {widest}"


@cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
