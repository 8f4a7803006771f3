"""The page on which a planner's trade-offs are tried out: margins of targets, weights of organs.

The form works without script; with it, each change of a slider asks anew.  Every answer is on
record (`adapters/what_if.py`), none leaves the house.  Points and goals are those of the structures
as drawn, before and after.  Where the case has to be prepared first, a page says so and comes back
by itself until the usual one is there; a question from an open page waits.

A page that a plugin brings: entry point group ``osteon.pages``, loaded by `app.py`.

Read next: `templates/trade_off.html`, `templates/trade_off_preparing.html`, `static/trade_off.js`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from adapters.documents import trade_off as pictures
from adapters.documents.canvas import encode_png
from adapters.exploring import Tried
from adapters.warm_runs import Warm
from adapters.web.shell import Pages, csrf_holds, language_of
from adapters.web.texts import translator
from adapters.what_if import WhatIfs
from audit.errors import RefusalError
from governance.oversight.assessment import REVIEWERS
from plugins.host.findings import DoseGrid, Measurement, RegionDose

MARGIN, PRIORITY = "margin:", "priority:"
TARGET = "PTV"
UNCHANGED = {MARGIN: 0.0, PRIORITY: 0.0}
STEPS = {MARGIN: (-6, 6, 1), PRIORITY: (-2, 2, 1)}
"""Least, most and step of a slider: millimetres; powers of two of the weight."""
TOLD = 0.5
"""Gy (or per cent) from where on a change is called better or worse."""
PATIENCE_S, RELOAD_S = 1.0, 2
"""How long opening the page waits for a case, and after how long it looks again."""
TONES = {"met": "good", "not-met": "bad", "uncertain": "wait"}


@dataclass(frozen=True, slots=True)
class Slider:
    """One thing that can be changed; ``value`` in steps of the slider, ``told`` in words."""

    name: str
    label: str
    kind: str
    least: int
    most: int
    step: int
    value: int
    told: str


@dataclass(frozen=True, slots=True)
class PointLine:
    """One point of a histogram before and after."""

    name: str
    before: str
    before_interval: str
    after: str
    after_interval: str
    change: str
    tone: str


@dataclass(frozen=True, slots=True)
class GoalLine:
    """One goal of the protocol before and after."""

    name: str
    before: str
    before_tone: str
    after: str
    after_tone: str


@dataclass(frozen=True, slots=True)
class TradeOffPage:
    """Sliders, pictures and tables of one question."""

    run_id: str
    key: str
    changed: bool
    may_ask: bool
    seconds: str
    sliders: tuple[Slider, ...]
    points: tuple[PointLine, ...]
    goals: tuple[GoalLine, ...]


def trade_off_page(warm: Warm, tried: Tried, role: str) -> TradeOffPage:
    """Return the page of an answer; who does not review reads it and asks nothing."""
    before, after = warm.first.dose, tried.dose
    return TradeOffPage(
        warm.row.run_id,
        key_of(tried),
        bool(tried.edits),
        role in REVIEWERS,
        f"{tried.seconds:.1f} s",
        tuple(_sliders(before, dict(tried.edits))),
        tuple(_points(before, after)),
        tuple(_goals(before, after)),
    )


def key_of(tried: Tried) -> str:
    """Return what names the pictures of an answer."""
    return hashlib.sha256(json.dumps(tried.edits).encode()).hexdigest()[:16]


def edits_of(form: Mapping[str, Any]) -> dict[str, float]:
    """Return the edits that a form asks for; sliders that stand still are none.

    Raises
    ------
    RefusalError : a slider's value is no number (MALFORMED_EDIT).
    """
    edits = {}
    for name, given in form.items():
        kind = next((kind for kind in UNCHANGED if name.startswith(kind)), None)
        if kind is None:
            continue
        try:
            value = float(str(given))
        except ValueError:
            raise RefusalError("expected a number", reasons=("MALFORMED_EDIT",)) from None
        if value != UNCHANGED[kind]:
            edits[name] = 2.0**value if kind == PRIORITY and abs(value) < 64 else value
    return edits


def _sliders(dose: DoseGrid, edits: Mapping[str, float]) -> Iterator[Slider]:
    for region in dose.regions:
        kind = MARGIN if region.interpreted_type == TARGET else PRIORITY
        name = kind + region.name
        value = round(edits.get(name, 0.0)) if kind == MARGIN else _power(edits.get(name, 1.0))
        told = (f"{value:+d} mm" if value else "0 mm") if kind == MARGIN else f"× {2.0**value:g}"
        yield Slider(name, region.name, kind.rstrip(":"), *STEPS[kind], value, told)


def _power(factor: float) -> int:
    return next((p for p in range(-2, 3) if 2.0**p == factor), 0)


def _points(before: DoseGrid, after: DoseGrid) -> Iterator[PointLine]:
    earlier = _by_point(before)
    for (number, point), (region, item) in _by_point(after).items():
        if (number, point) not in earlier:
            continue
        old = earlier[number, point][1]
        change = item.value - old.value
        better = change > 0 if region.interpreted_type == TARGET and point != "D1" else change < 0
        tone = "" if abs(change) < TOLD else ("good" if better else "bad")
        yield PointLine(
            f"{region.name} {point}", _value(old), _interval(old), _value(item), _interval(item),
            f"{change:+z.1f} {item.unit}", tone,
        )  # fmt: skip


def _by_point(dose: DoseGrid) -> dict[tuple[int, str], tuple[RegionDose, Measurement]]:
    return {
        (region.roi_number, item.code.value): (region, item)
        for region in dose.regions
        for item in region.measurements
    }


def _value(item: Measurement) -> str:
    return f"{item.value:.1f} {item.unit}"


def _interval(item: Measurement) -> str:
    return "–" if item.interval is None else f"{item.interval[0]:.1f}–{item.interval[1]:.1f}"


def _goals(before: DoseGrid, after: DoseGrid) -> Iterator[GoalLine]:
    pairs = [
        (region.name, goal) for dose in (before, after) for region in dose.regions
        for goal in region.goals
    ]  # fmt: skip
    half = len(pairs) // 2
    for (name, old), (_, new) in zip(pairs[:half], pairs[half:], strict=True):
        sign = "≤" if new.at_most else "≥"
        label = f"{name} {new.measured.code.value} {sign} {new.limit:g} {new.measured.unit}"
        yield GoalLine(
            label, f"goal_{old.verdict}", TONES[old.verdict], f"goal_{new.verdict}",
            TONES[new.verdict],
        )  # fmt: skip


def trade_off_routes(app: FastAPI, view: Pages) -> None:
    """Add the page, its answers and their pictures."""
    asked = WhatIfs(view.site)
    app.router.add_event_handler("shutdown", asked.close)

    @app.get("/runs/{run_id}/trade-off")
    def page(request: Request, run_id: str) -> Response:
        person = request.state.session
        found = asked.opened(person, run_id, PATIENCE_S)
        if found is None:
            response = view.render(request, "trade_off_preparing.html", run_id=run_id)
            response.headers["Refresh"] = f"{RELOAD_S}; url=/runs/{run_id}/trade-off"
            return response
        warm, tried = found
        return view.render(request, "trade_off.html", page=trade_off_page(warm, tried, person.role))

    @app.post("/runs/{run_id}/trade-off")
    async def answer(request: Request, run_id: str) -> Response:
        form = await request.form()
        if not csrf_holds(request, str(form.get("csrf", ""))):
            return view.message(request, 403, "forbidden")
        edits = edits_of(form)
        person = request.state.session
        warm, tried = await run_in_threadpool(asked.ask, person, run_id, edits)
        return view.render(request, "trade_off.html", page=trade_off_page(warm, tried, person.role))

    @app.get("/runs/{run_id}/trade-off/{kind}/{key}")
    def picture(request: Request, run_id: str, kind: str, key: str) -> Response:
        found = asked.answered(run_id, lambda tried: key_of(tried) == key)
        if found is None or kind not in ("planes", "histograms"):
            return view.message(request, 404, "not_found")
        warm, tried = found
        t = translator(language_of(request))
        if kind == "planes":
            drawn = pictures.planes(warm.case, tried.dose, t["trade_off_caption"])
        else:
            labels = (t["trade_off_before"], t["trade_off_after"])
            drawn = pictures.histograms(warm.first.dose, tried.dose, labels)
        return Response(encode_png(drawn), media_type="image/png")
