"""Is an envelope wider or narrower than another?  A wider one admits cases that were not
validated; a narrower one only refuses more.

Read next: `difference_training.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from governance.difference_values import StatedChange, same


def compared_envelope(old: Any, new: Any) -> Iterator[StatedChange]:
    """Yield ENVELOPE_WIDENED, ENVELOPE_NARROWED or ENVELOPE_CHANGED for each limit.

    ENVELOPE_CHANGED is a limit that admits some new cases and refuses some old ones, and
    any limit that no rule knows.
    """
    before, after = old or {}, new or {}
    for name in sorted({*before, *after}):
        one, other = before.get(name), after.get(name)
        if not same(one, other):
            yield StatedChange(
                f"ENVELOPE_{_word(name, one, other)}", f"envelope.{name}", one, other
            )


def _word(name: str, old: Any, new: Any) -> str:
    admits = _RULES.get(name)
    if admits is None:
        return "CHANGED"
    try:
        wider, narrower = admits(old, new), admits(new, old)
    except (TypeError, ValueError):
        return "CHANGED"
    return "CHANGED" if wider == narrower else "WIDENED" if wider else "NARROWED"


def _range(old: Any, new: Any) -> bool:
    """Tell whether ``new`` admits a number that ``old`` does not; None admits all."""
    low, high = (-math.inf, math.inf) if old is None else old
    new_low, new_high = (-math.inf, math.inf) if new is None else new
    return bool(new_low < low or new_high > high)


def _largest(old: Any, new: Any) -> bool:
    """Likewise for a largest size or angle, alone or by axis."""
    if old is None or new is None:
        return new is None
    if isinstance(old, list):
        return any(other > one for one, other in zip(old, new, strict=True))
    return bool(new > old)


def _allowed(old: Any, new: Any) -> bool:
    """Likewise for a list of what is allowed; an empty one allows all."""
    return bool(old) and (not new or bool(set(new) - set(old)))


def _refused(old: Any, new: Any) -> bool:
    """Likewise for a list of what is refused, or asked for."""
    return bool(set(old or ()) - set(new or ()))


def _asked(old: Any, new: Any) -> bool:
    """Likewise for something that is asked for, or not."""
    return bool(old) and not new


_RULES: Mapping[str, Callable[[Any, Any], bool]] = {
    "body_parts": _allowed,
    "age_years": _range,
    "slice_spacing_mm": _range,
    "in_plane_mm": _range,
    "frames": _range,
    "kernels_refused": _refused,
    "quality_flags_refused": _refused,
    "required_structures": _refused,
    "trained_field_mm": _largest,
    "oblique_deg": _largest,
    "prescription_required": _asked,
}
"""Limit -> does the second admit a case that the first refuses?"""
