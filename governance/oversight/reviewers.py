"""When figures about single reviewers may be looked at at all.

Never before the site has told its staff (a recorded notice: Regulation (EU) 2024/1689
Art. 26(7), works council), never for fewer than five decisions of a person or in a house of
fewer than five reviewers, never by name, and not for appraisal (REGULATORY.md 5.2, 5.3).

Read next: `bias.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from audit.errors import ConfigurationError, RefusalError
from governance.oversight.assessment import Assessment

NOTICE = "staff_notice"
"""Kind of the governed document; its name is the site."""
NOTIFIERS = ("approver", "administrator")
LEAST = 5


def notice(text: str, told_on: str, reference: str) -> dict[str, Any]:
    """Return the content of a staff notice.

    Parameters
    ----------
    told_on : day on which the staff was told, ISO 8601; not in the future is the caller's check.
    reference : where the house keeps the agreement.

    Raises
    ------
    ConfigurationError : the text says nothing, or the day is none.
    """
    if len(text.strip()) < 20:
        raise ConfigurationError("expected the words of the notice, found fewer than 20 letters")
    try:
        day = datetime.fromisoformat(told_on).date().isoformat()
    except ValueError as error:
        raise ConfigurationError("expected a day such as 2026-11-25") from error
    return {"text": text.strip(), "told_on": day, "reference": reference.strip()}


def require_permitted(notice_content: Mapping[str, Any] | None, reviewer_count: int) -> None:
    """Return when views by reviewer are permitted.

    Raises
    ------
    RefusalError : no notice stands, or there are fewer than five reviewers.
    """
    reasons = []
    if notice_content is None:
        reasons.append("STAFF_NOTICE_MISSING")
    if reviewer_count < LEAST:
        reasons.append("TOO_FEW_REVIEWERS")
    if reasons:
        raise RefusalError("views by reviewer are not permitted", reasons=tuple(reasons))


def by_reviewer(assessments: Iterable[Assessment]) -> dict[str, tuple[Assessment, ...]]:
    """Return the decisions of each reviewer with at least five, oldest first."""
    groups: dict[str, list[Assessment]] = {}
    for item in sorted(assessments, key=lambda one: one.decided_at):
        if item.reviewer:
            groups.setdefault(item.reviewer, []).append(item)
    return {name: tuple(found) for name, found in groups.items() if len(found) >= LEAST}
