"""The part of a run's page on which a reviewer decides, and what was decided before.

Nothing is ticked beforehand, and each structure is decided by itself (REGULATORY.md
AIA-14.4b): there is no way to accept everything at once.

Read next: `pages.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from adapters.database import Transaction
from adapters.oversight.acts import ASSESSABLE, Decided, assess, names_in
from adapters.web.access import Session
from adapters.web.formats import percent
from adapters.web.shell import Pages, csrf_holds
from audit.errors import ConfigurationError
from governance.oversight.assessment import (
    ACTIONS,
    NO_REASON,
    PLANNING,
    REASONS,
    REVIEWERS,
    SEVERITIES,
    Assessment,
    Figures,
)

if TYPE_CHECKING:
    from adapters.database.runs import RunRow


@dataclass(frozen=True, slots=True)
class AssessmentLine:
    """One decision in words."""

    structure: str
    fraction: int
    action: str
    tone: str
    reason: str
    severity: str
    source: str
    reviewer: str
    decided_at: str
    viewed: str
    figures: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ReviewPart:
    """Decisions, and the structures that the reader may decide about."""

    lines: tuple[AssessmentLine, ...]
    structures: tuple[str, ...]
    actions: tuple[str, ...] = ACTIONS
    reasons: tuple[str, ...] = REASONS
    severities: tuple[str, ...] = SEVERITIES


def review_part(
    transaction: Transaction, row: RunRow, inference: Mapping[str, Any], session: Session
) -> ReviewPart:
    """Return what was decided about a run, and what the reader may decide."""
    names = names_in(inference)
    may = session.role in REVIEWERS and row.status in ASSESSABLE
    found = transaction.assessments_of(row.run_id)
    return ReviewPart(tuple(_line(item) for item in reversed(found)), names if may else ())


def review_routes(app: FastAPI, view: Pages) -> None:
    """Add the form of a review."""

    @app.post("/runs/{run_id}/assess")
    async def decide(request: Request, run_id: str) -> Response:
        form = {key: str(value) for key, value in (await request.form()).items()}
        return await run_in_threadpool(_decided, view, request, run_id, form)


def _decided(view: Pages, request: Request, run_id: str, form: dict[str, str]) -> Response:
    if not csrf_holds(request, form.pop("csrf", "")):
        return view.message(request, 403, "forbidden")
    asked = [
        Decided(
            structure=key.removeprefix("action:"),
            action=action,
            reason=_reason(form, key.removeprefix("action:"), action),
            severity=_severity(form, key.removeprefix("action:"), action),
        )
        for key, action in form.items()
        if key.startswith("action:") and action
    ]
    fraction = _fraction(form.get("fraction", ""))
    assess(view.site, request.state.session, run_id, asked, fraction)
    return RedirectResponse(f"/runs/{run_id}#review", 303)


def _reason(form: Mapping[str, str], structure: str, action: str) -> str:
    stated = form.get(f"reason:{structure}", "") or NO_REASON
    return NO_REASON if action == "accept" else stated


def _severity(form: Mapping[str, str], structure: str, action: str) -> str:
    if action == "reject":
        return "major"
    return form.get(f"severity:{structure}", "") or "none" if action == "edit" else "none"


def _fraction(text: str) -> int:
    if not text.strip():
        return PLANNING
    if not text.strip().isdecimal():
        raise ConfigurationError("expected the number of a fraction, found other text")
    return int(text)


def _shift(figures: Figures) -> str:
    """Return the shift along left, posterior and head; a dash where it was not kept."""
    parts = (figures.shift_x_mm, figures.shift_y_mm, figures.shift_z_mm)
    return " / ".join("–" if part is None else f"{part:+.1f}" for part in parts) + " mm"


def _line(item: Assessment) -> AssessmentLine:
    tones = {"accept": "good", "reject": "bad"}
    figures = item.figures
    numbers: list[tuple[str, str]] = []
    if figures is not None:
        numbers = [
            ("DSC", f"{figures.dsc:.3f}"),
            ("surface_dice", _number(figures.surface_dice, 3, f" @ {figures.tolerance_mm:g} mm")),
            ("HD95", _number(figures.hd95_mm, 1, " mm")),
            ("added_path", f"{figures.added_path_length_mm:.0f} mm"),
            ("volume_difference", f"{figures.volume_difference_ml:+.1f} ml"),
            ("shift_lps", _shift(figures)),
        ]
    viewing = item.viewing
    viewed = ""
    if viewing.known:
        share = percent(viewing.share) if viewing.slices_total else "0"
        viewed = f"{viewing.slices_visited}/{viewing.slices_total} ({share}), "
        viewed += f"{viewing.active_seconds:.0f} s"
    return AssessmentLine(
        structure=item.structure,
        fraction=item.fraction,
        action=item.action,
        tone=tones.get(item.action, "wait"),
        reason=item.reason,
        severity=item.severity,
        source=item.source,
        reviewer=item.reviewer.removeprefix("reviewer:")[:8],
        decided_at=item.decided_at.strftime("%Y-%m-%d %H:%M"),
        viewed=viewed,
        figures=tuple(numbers),
    )


def _number(value: float | None, digits: int, unit: str) -> str:
    return "–" if value is None else f"{value:.{digits}f}{unit}"
