"""What was prescribed: total doses to targets, who said so, and what the site aims for.

Doses are total physical doses of the course in Gy; a source in other units has converted
them or was refused.  Nothing is guessed here: a target is named as its source names it, by
region name, by ROI Number (which holds in one structure set only), or by both.

`encode` and `decode` are inverses: a prescription as one line of text, for the database; its
digest stands among the parameters that name a run.

Standard: PS3.3 C.8.8.10 (Dose Reference), ICRU 83 section 3 (prescription), AAPM TG-263
section 8 (names of DVH metrics).

Read next: `case.py`, `envelope.py`.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from audit import canonical
from audit.errors import InputError, SuiteError

SOURCES = ("plan", "physician_intent", "service_request", "protocol")
"""Where a prescription may come from, the one that counts most first."""
LARGEST_GY = 200.0
"""Above every course of radiotherapy: a larger number was meant in cGy."""
MOST_FRACTIONS = 100
"""Above every schedule in use; CHART, the densest, has 36 (Dische 1997)."""
RELATIONS = ("at_most", "at_least")
_METRIC = re.compile(
    r"(?:Mean|Max|Min|D[0-9]+(?:\.[0-9]+)?(?:%|cc)|V[0-9]+(?:\.[0-9]+)?(?:Gy|%))\[(Gy|%|cc)\]"
)
_STRUCTURE = re.compile(r"[A-Za-z][A-Za-z0-9_+~^-]{0,63}")
_TEXT_LIMIT = 64


@dataclass(frozen=True, slots=True)
class PrescribedTarget:
    """The total dose that one target is to receive.

    Parameters
    ----------
    dose_gy : physical dose of the whole course.
    roi_name : as the source writes it; empty where it gives a number only.
    roi_number : ROI Number (3006,0022) in the structure set that the prescription names.

    Raises
    ------
    InputError : the dose is not in (0, 200] Gy, or the target has neither name nor number.
    """

    dose_gy: float
    roi_name: str = ""
    roi_number: int | None = None

    def __post_init__(self) -> None:
        if not (_is_number(self.dose_gy) and 0.0 < self.dose_gy <= LARGEST_GY):
            raise InputError(
                f"expected a prescribed dose above 0 and up to {LARGEST_GY:g} Gy, found another",
                advice="State the total dose of the course in Gy, not in cGy.",
            )
        if not self.roi_name.strip() and self.roi_number is None:
            raise InputError("expected a prescribed target with a name or an ROI number")
        if len(self.roi_name) > _TEXT_LIMIT:
            raise InputError(f"expected a target's name of at most {_TEXT_LIMIT} characters")
        object.__setattr__(self, "dose_gy", float(self.dose_gy))  # 70 and 70.0 have one digest


@dataclass(frozen=True, slots=True)
class DoseGoal:
    """One dose-volume goal of a protocol, e.g. Mean[Gy] of Parotid_L at most 26.

    Parameters
    ----------
    structure : TG-263 name.
    metric : TG-263 notation: ``Mean[Gy]``, ``D0.03cc[Gy]``, ``D95%[Gy]``, ``V30Gy[%]``.
    relation : at_most or at_least.
    limit : in the unit that the metric ends with.
    source : publication or trial protocol that states it.
    priority : 1 must be met, larger numbers are wishes.

    Raises
    ------
    InputError : a field is not as above.
    """

    structure: str
    metric: str
    relation: str
    limit: float
    source: str
    priority: int = 1

    def __post_init__(self) -> None:
        well = (
            _STRUCTURE.fullmatch(self.structure)
            and _METRIC.fullmatch(self.metric)
            and self.relation in RELATIONS
            and _is_number(self.limit)
            and self.limit >= 0.0
            and self.source.strip()
            and 1 <= self.priority <= 9
        )
        if not well:
            raise InputError(
                "expected a goal with TG-263 structure, metric like D95%[Gy], relation "
                "at_most or at_least, limit, source and priority from 1 to 9, found another"
            )
        object.__setattr__(self, "limit", float(self.limit))

    @property
    def unit(self) -> str:
        """UCUM-like unit of the limit: Gy, % or cc."""
        return self.metric[self.metric.index("[") + 1 : -1]


@dataclass(frozen=True, slots=True)
class Prescription:
    """The doses of one course and the source that states them.

    Parameters
    ----------
    targets : at least one; no region twice.
    source : one of `SOURCES`.
    reference : the object: SOP Instance UID, ``ServiceRequest/id`` or the protocol's name.
    fraction_count : planned fractions of the course; None where nobody states them.
    structure_set_uid : SOP Instance UID of the structure set whose ROI numbers are meant.
    goals : dose-volume goals of the site's protocol, whatever the source of the doses.
    protocol : its name; empty without goals.

    Raises
    ------
    InputError : a field is not as above.
    """

    targets: tuple[PrescribedTarget, ...]
    source: str
    reference: str
    fraction_count: int | None = None
    structure_set_uid: str = ""
    goals: tuple[DoseGoal, ...] = ()
    protocol: str = ""

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise InputError(f"expected a prescription from {', '.join(SOURCES)}, found another")
        if not self.reference:
            raise InputError("expected a prescription that names its source, found none named")
        if not self.targets:
            raise InputError("expected a prescription of at least one target, found none")
        if self.fraction_count is not None and not 1 <= self.fraction_count <= MOST_FRACTIONS:
            raise InputError(f"expected 1 to {MOST_FRACTIONS} fractions, found another number")
        if any(item.roi_number is not None for item in self.targets) and not self.structure_set_uid:
            raise InputError("expected the structure set that ROI numbers belong to, found none")
        names = Counter(item.roi_name.strip() for item in self.targets if item.roi_name.strip())
        numbers = Counter(item.roi_number for item in self.targets if item.roi_number is not None)
        if any(count > 1 for count in (*names.values(), *numbers.values())):
            raise InputError("expected one dose for each target, found a target twice")

    @property
    def highest_gy(self) -> float:
        """Largest prescribed dose."""
        return max(item.dose_gy for item in self.targets)


def encode(prescription: Prescription) -> str:
    """Return the prescription as one line of canonical JSON (RFC 8785)."""
    return canonical.encode(_plain(asdict(prescription))).decode()


def decode(text: str) -> Prescription:
    """Return the prescription of a line; inverse of `encode`.

    Raises
    ------
    InputError : the text is no prescription.
    """
    try:
        values = dict(canonical.decode(text.encode()))
        values["targets"] = tuple(PrescribedTarget(**item) for item in values["targets"])
        values["goals"] = tuple(DoseGoal(**item) for item in values["goals"])
        if set(values) != {item.name for item in fields(Prescription)}:
            raise KeyError("fields")
        return Prescription(**values)
    except InputError:
        raise
    except (SuiteError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError("expected a prescription as JSON, found another text") from error


def digest_of(prescription: Prescription) -> str:
    """Return sha256:<hex> of the text of a prescription: what names it among parameters."""
    return f"sha256:{hashlib.sha256(encode(prescription).encode()).hexdigest()}"


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _plain(value: Any) -> Any:
    """Return JSON values: tuples as lists."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
