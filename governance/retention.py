"""How long a record is kept, and which ones may go: policy, states, legal holds.

Floor 183 days (AI Act Art. 19(1), 26(6)), default ten years (the limitation of product
liability; REGULATORY.md PLD-1), longer for what belongs to a treatment where a state says so,
and for minors.  A legal hold wins over all of it: what it names stays, and while any stands,
so does everything that names no release at all (accounts, settings, accesses).

Purge records themselves are never purged: they are what makes a tombstone true.

Read next: `holds.py`, `audit/tombstone.py`.
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from audit import canonical
from audit.errors import ConfigurationError, RefusalError
from audit.kinds import KINDS
from audit.record import Record
from audit.stated import Stated
from audit.tombstone import FLOOR, PURGE
from governance.holds import Hold

DAYS_A_YEAR = 365.2425
DEFAULT_DAYS = math.ceil(10 * DAYS_A_YEAR)
LATENT_DAYS = math.ceil(25 * DAYS_A_YEAR)
"""Directive (EU) 2024/2853 Art. 17(2): 25 years where an injury shows late; used for minors."""
PROPOSERS, APPROVERS = ("administrator",), ("approver",)
_MINORS = ("0-9", "10-17")


@dataclass(frozen=True, slots=True)
class Policy:
    """How many days each record is kept, at the least.

    Parameters
    ----------
    treatment_days : of records of clinical runs.
    minor_days : of records about somebody under 18; 0 where the site has no such rule.
    by_kind : for single kinds of record instead of ``days``.

    Raises
    ------
    ConfigurationError : a value under the floor, or a kind that there is not.
    """

    days: int = DEFAULT_DAYS
    treatment_days: int = DEFAULT_DAYS
    minor_days: int = LATENT_DAYS
    by_kind: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        stated = {"days": self.days, "treatment_days": self.treatment_days, **self.by_kind}
        short = sorted(name for name, days in stated.items() if days < FLOOR.days)
        if short or 0 < self.minor_days < FLOOR.days:
            raise ConfigurationError(
                f"expected at least {FLOOR.days} days of retention, found fewer for "
                f"{', '.join(short) or 'minor_days'}",
                advice="Logs are kept for at least six months (AI Act Art. 19(1), 26(6)).",
            )
        if unknown := sorted(set(self.by_kind) - set(KINDS)):
            raise ConfigurationError(f"expected kinds of record, found {', '.join(unknown)}")

    def days_of(self, record: Record | Stated) -> int:
        """Return how many days a record is kept."""
        found = [self.by_kind.get(record.kind, self.days)]
        if record.run_id is not None and record.mode == "clinical":
            found.append(self.treatment_days)
        if record.subject is not None and record.subject.age_band in _MINORS:
            found.append(self.minor_days)
        return max(found)

    @property
    def digest(self) -> str:
        """Digest of the policy, as a purge record states it."""
        values: dict[str, Any] = asdict(self) | {"by_kind": dict(self.by_kind)}
        return f"sha256:{hashlib.sha256(canonical.encode(values)).hexdigest()}"


def for_state(
    state: str,
    *,
    days: int = DEFAULT_DAYS,
    treatment_days: int = 0,
    minor_days: int = LATENT_DAYS,
    by_kind: Mapping[str, int] | None = None,
) -> Policy:
    """Return the policy of a site in a state: its own values, or the state's where longer.

    Raises
    ------
    ConfigurationError : the suite has no rule of that state, or a value is under the floor.
    """
    stated = max(treatment_days, days) if not state else max(treatment_days, days, _days_in(state))
    return Policy(days, stated, minor_days, dict(by_kind or {}))


def states() -> Mapping[str, Mapping[str, Any]]:
    """Return the states that have a rule here: years of treatment records, basis, how checked."""
    return _states()


def due(record: Record | Stated, policy: Policy, holds: Iterable[Hold], now: datetime) -> bool:
    """Return whether a record may be purged now."""
    if record.kind == PURGE or record.recorded_at > now - timedelta(days=policy.days_of(record)):
        return False
    return not any(_is_held(record, hold) for hold in holds)


def require_two(proposer: tuple[str, str], approver: tuple[str, str]) -> None:
    """Return when (account, role) of two different persons may purge together.

    Raises
    ------
    RefusalError : one account alone, or a role that may not.
    """
    if proposer[1] not in PROPOSERS or approver[1] not in APPROVERS:
        raise RefusalError(
            f"expected {PROPOSERS[0]} to propose and {APPROVERS[0]} to approve, found "
            f"{proposer[1]} and {approver[1]}",
            reasons=("ROLE_NOT_PERMITTED",),
        )
    if proposer[0] == approver[0]:
        raise RefusalError(
            "expected two persons, found one", reasons=("FOUR_EYES",),
            advice="Have another account approve it.",
        )  # fmt: skip


def _is_held(record: Record | Stated, hold: Hold) -> bool:
    if record.run_id in hold.run_ids or record.release_digest == hold.release_digest:
        return True
    if record.subject is not None and record.subject.pseudonym in hold.subjects:
        return True
    return record.release_digest is None and record.run_id is None


def _days_in(state: str) -> int:
    known = _states()
    if state not in known:
        raise ConfigurationError(
            f"expected a state in {', '.join(sorted(known))}, found {state!r}",
            advice="Leave retention.state empty and set retention.treatment_days.",
        )
    return math.ceil(float(known[state]["treatment_years"]) * DAYS_A_YEAR)


@cache
def _states() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("retention_states.toml").read_text("utf-8"))
