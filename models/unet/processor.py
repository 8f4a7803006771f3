"""What the processor multiplies by itself."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def native_bf16() -> bool:
    """Return whether the processor multiplies bfloat16 itself (else it is 100 times slower)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
