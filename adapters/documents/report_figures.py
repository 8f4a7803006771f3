"""Figures of a report as SVG: intervals on an axis, curves and points over two axes.

Drawn from the data in the report, without a plotting library: text stays text, the same data
give the same bytes, and a screen reader gets title and description.  Looks are attributes and
not style rules, because printing reads no style sheet inside a drawing and the pages' security
policy allows none.  Sizes are SVG user units of 1/96 inch (CSS Values 4, 5.2).

Read next: `report_html.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from governance.report import Forest, Interval, Language, Number, Plot, Series, number_text

WIDTH = 640.0
_LABEL, _VALUE, _ROW = 150.0, 200.0, 22.0
_TOP, _BOTTOM = 20.0, 40.0
_FONT = "Inter, 'Source Sans 3', 'Noto Sans', 'DejaVu Sans Condensed', sans-serif"
_INK, _GRID, _BLUE, _RED = "#17222d", "#e6ebf0", "#0b5c8a", "#a3261b"
_COLOURS = (_BLUE, "#c0562a", "#3b7d4f", "#7a4a8f", "#8a6d1f")
_LOOKS = {
    "text": Markup('font-size="11" fill="#17222d"'),
    "strong": Markup('font-size="11" font-weight="700" fill="#17222d"'),
    "tick": Markup('font-size="10" fill="#5a6875"'),
    "limit": Markup('font-size="10" fill="#a3261b"'),
}


def forest_svg(figure: Forest, language: Language) -> Markup:
    """Return the SVG of numbers with intervals on one axis."""
    values = [v for row in figure.rows for v in _ends(row.number)]
    scale = _Scale(values + ([] if figure.limit is None else [figure.limit]))
    left, right = _LABEL + 10, WIDTH - _VALUE - 10
    height = _TOP + _ROW * len(figure.rows) + _BOTTOM
    bottom = height - _BOTTOM
    parts = [_axis(scale, (left, right), bottom, figure.axis, language)]
    if figure.limit is not None:
        x = scale.at(figure.limit, left, right)
        parts.append(_line((x, x), (_TOP - 4, bottom), _RED, dashed=True))
        parts.append(_text(x, _TOP - 8, figure.limit_label, "limit", "middle"))
    for index, row in enumerate(figure.rows):
        y = _TOP + _ROW * (index + 0.5)
        parts.append(_interval(row, y, scale, (left, right), language))
    described = "; ".join(f"{r.label}: {number_text(r.number, language)}" for r in figure.rows)
    return _svg(height, figure.caption, described, parts)


def plot_svg(figure: Plot, language: Language) -> Markup:
    """Return the SVG of series over two axes, with a legend where there are several."""
    points = [point for series in figure.series for point in series.points]
    ends = [end for series in figure.series for pair in series.intervals for end in pair]
    x_scale = _Scale([x for x, _ in points])
    y_scale = _Scale([y for _, y in points] + ends + [value for value, _ in figure.limits])
    left, right, top, bottom = 54.0, WIDTH - 16, _TOP + 10, 240.0
    legend = list(_legend(figure.series, left, bottom + _BOTTOM + 12))
    parts = [
        _axis(x_scale, (left, right), bottom, figure.x_axis, language),
        _y_axis(y_scale, (left, right), (top, bottom), figure.y_axis, language),
    ]
    for value, label in figure.limits:
        y = y_scale.at(value, bottom, top)
        parts.append(_line((left, right), (y, y), _RED, dashed=True))
        parts.append(_text(right - 4, y - 4, label, "limit", "end"))
    for index, series in enumerate(figure.series):
        places = [
            (x_scale.at(x, left, right), y_scale.at(y, bottom, top)) for x, y in series.points
        ]
        colour = _COLOURS[index % len(_COLOURS)]
        for (x, _), pair in zip(places, series.intervals, strict=False):
            low, high = (y_scale.at(end, bottom, top) for end in pair)
            parts.append(_line((x, x), (low, high), colour))
        parts.append(_drawn(series, places, colour))
    parts += [part for part, _ in legend]
    lowest = max((y for _, y in legend), default=bottom + _BOTTOM - 10)
    points_of = "; ".join(f"{s.label}: {len(s.points)} points" for s in figure.series)
    return _svg(lowest + 10, figure.caption, figure.described or points_of, parts)


class _Scale:
    """An axis from rounded tick to rounded tick around the values."""

    def __init__(self, values: Sequence[float]) -> None:
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        if high - low < 1e-12:
            low, high = low - 0.5, high + 0.5
        rough = (high - low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        self.step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.999)
        self.low = math.floor(low / self.step + 1e-9) * self.step
        self.high = math.ceil(high / self.step - 1e-9) * self.step
        self.digits = max(0, -math.floor(math.log10(self.step) + 1e-9))

    def at(self, value: float, start: float, end: float) -> float:
        """Return where a value lies between two ends of the drawing."""
        return start + (value - self.low) / (self.high - self.low) * (end - start)

    def ticks(self) -> list[float]:
        """Return the ticks, both ends among them."""
        count = round((self.high - self.low) / self.step)
        return [self.low + index * self.step for index in range(count + 1)]


def _ends(number: Number) -> Iterator[float]:
    yield number.value
    if number.low is not None and number.high is not None:
        yield from (number.low, number.high)


def _axis(
    scale: _Scale, across: tuple[float, float], y: float, title: str, language: Language
) -> Markup:
    parts = []
    for value in scale.ticks():
        x = scale.at(value, *across)
        parts.append(_line((x, x), (_TOP, y), _GRID))
        parts.append(_text(x, y + 14, _tick(value, scale, language), "tick", "middle"))
    parts.append(_line(across, (y, y), _INK))
    parts.append(_text(sum(across) / 2, y + 31, title, "text", "middle"))
    return Markup("").join(parts)


def _y_axis(
    scale: _Scale,
    across: tuple[float, float],
    down: tuple[float, float],
    title: str,
    language: Language,
) -> Markup:
    top, bottom = down
    parts = [_text(8, top - 14, title, "text", "start")]
    for value in scale.ticks():
        y = scale.at(value, bottom, top)
        parts.append(_line(across, (y, y), _GRID))
        parts.append(_text(across[0] - 6, y + 4, _tick(value, scale, language), "tick", "end"))
    return Markup("").join(parts)


def _tick(value: float, scale: _Scale, language: Language) -> str:
    return number_text(Number(value, scale.digits), language)


def _interval(
    row: Interval, y: float, scale: _Scale, across: tuple[float, float], language: Language
) -> Markup:
    number, (left, right) = row.number, across
    parts = [_text(_LABEL, y + 4, row.label, "strong" if row.emphasised else "text", "end")]
    if number.low is not None and number.high is not None:
        ends = (scale.at(number.low, left, right), scale.at(number.high, left, right))
        parts.append(_line(ends, (y, y), _BLUE, width=2))
    size = 4.5 if row.emphasised else 3.5
    parts.append(_dot(scale.at(number.value, left, right), y, size, _BLUE))
    parts.append(_text(right + 16, y + 4, number_text(number, language), "text", "start"))
    return Markup("").join(parts)


def _drawn(series: Series, places: Sequence[tuple[float, float]], colour: str) -> Markup:
    line, dots = Markup(""), Markup("")
    if series.drawn != "dots":
        path = " ".join(f"{_p(x)},{_p(y)}" for x, y in places)
        line = Markup('<polyline fill="none" stroke="{}" stroke-width="2" points="{}"/>').format(
            colour, path
        )
    if series.drawn != "line":
        dots = Markup("").join(_dot(x, y, 3.0, colour) for x, y in places)
    return line + dots


def _legend(series: Sequence[Series], left: float, y: float) -> Iterator[tuple[Markup, float]]:
    """Yield the entries of a legend with their height, in as many lines as they need."""
    if len(series) < 2:
        return
    x = left
    for index, item in enumerate(series):
        width = 30 + 6.5 * len(item.label)
        if x > left and x + width > WIDTH:
            x, y = left, y + 18
        dot = _dot(x, y, 4.0, _COLOURS[index % len(_COLOURS)])
        yield dot + _text(x + 9, y + 4, item.label, "text", "start"), y
        x += width


def _line(
    across: tuple[float, float],
    down: tuple[float, float],
    colour: str,
    *,
    width: int = 1,
    dashed: bool = False,
) -> Markup:
    dash = Markup(' stroke-dasharray="4 3"') if dashed else Markup("")
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="{}" stroke-width="{}"{}/>').format(
        _p(across[0]), _p(down[0]), _p(across[1]), _p(down[1]), colour, width, dash
    )


def _dot(x: float, y: float, radius: float, colour: str) -> Markup:
    return Markup('<circle cx="{}" cy="{}" r="{}" fill="{}"/>').format(
        _p(x), _p(y), _p(radius), colour
    )


def _text(x: float, y: float, text: str, look: str, anchor: str) -> Markup:
    return Markup('<text {} x="{}" y="{}" text-anchor="{}">{}</text>').format(
        _LOOKS[look], _p(x), _p(y), anchor, text
    )


def _svg(height: float, title: str, described: str, parts: Sequence[Markup]) -> Markup:
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" role="img" '
        'font-family="{}"><title>{}</title><desc>{}</desc>'
    ).format(_p(WIDTH), _p(height), _FONT, title, described)
    return head + Markup("").join(parts) + Markup("</svg>")


def _p(value: float) -> str:
    """Return a coordinate with one decimal place."""
    return f"{value:.1f}"
