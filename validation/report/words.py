"""Words of the validation report in English and German (`words.json`).

Read next: `content.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from governance.report import Language, Tone

FILE = Path(__file__).with_name("words.json")
TONES: Mapping[str, Tone] = {"pass": "good", "fail": "bad", "insufficient": "wait"}


@cache
def texts(language: Language) -> Mapping[str, str]:
    """Return every text in one language by its key."""
    pairs: Mapping[str, tuple[str, str]] = json.loads(FILE.read_text("utf-8"))
    return {key: pair[0 if language == "en" else 1] for key, pair in pairs.items()}


def roles(given: str) -> str:
    """Return the roles that the release got as they are printed.

    Examples
    --------
    >>> roles("ct+pet")
    'CT + PET'
    """
    return given.upper().replace("+", " + ") or "–"
