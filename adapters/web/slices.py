"""The slices of a result: pictures made on the server, links to go on, no script.

What a reviewer has on the screen is noted for the assessment; the picture itself is asked for
by the browser and notes nothing.

Read next: `templates/slices.html`, `adapters/documents/slices.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import FastAPI, Request
from starlette.responses import Response

from adapters.database.oversight import EXPLANATION, SLICE, UNCERTAINTY
from adapters.documents.canvas import encode_png
from adapters.documents.slices import Stack, draw_slice
from adapters.oversight.acts import note_view
from adapters.oversight.stacks import Stacks
from adapters.web.shell import Pages

FAR = 10
_NOTED = {"attribution": EXPLANATION, "uncertainty": UNCERTAINTY}


@dataclass(frozen=True, slots=True)
class SlicesPage:
    """One slice and the ways from it."""

    run_id: str
    number: int
    count: int
    layer: str
    layers: tuple[str, ...]
    structures: tuple[str, ...]
    contours: bool
    marks: tuple[tuple[int, bool], ...]
    first: int
    back: int
    forward: int
    last: int
    is_drawn_on: bool


def slices_page(
    stack: Stack, run_id: str, number: int | None, layer: str, *, contours: bool
) -> SlicesPage:
    """Return the page of a slice; without a number that in the middle of the contours."""
    drawn = stack.drawn_on()
    middle = drawn[len(drawn) // 2] if drawn else stack.slice_count // 2
    here = min(max(middle if number is None else number, 0), stack.slice_count - 1)
    end = stack.slice_count - 1
    step = max(1, stack.slice_count // 24)
    places = sorted({*range(0, stack.slice_count, step), end})
    reached = set(drawn)
    return SlicesPage(
        run_id=run_id,
        number=here,
        count=stack.slice_count,
        layer=layer if layer in stack.maps else "",
        layers=tuple(stack.maps),
        structures=tuple(stack.masks),
        contours=contours,
        marks=tuple((n, any(k in reached for k in range(n, n + step))) for n in places),
        first=max(0, here - FAR),
        back=max(0, here - 1),
        forward=min(end, here + 1),
        last=min(end, here + FAR),
        is_drawn_on=here in reached,
    )


def slice_routes(app: FastAPI, view: Pages) -> None:
    """Add the pages of slices and their pictures."""
    stacks = Stacks(view.site)

    @app.get("/runs/{run_id}/slices")
    def slices(
        request: Request, run_id: str, slice: int | None = None, layer: str = "", plain: int = 0
    ) -> Response:
        stack = stacks.stack(run_id)
        page = slices_page(stack, run_id, slice, layer, contours=not plain)
        person = request.state.session
        note_view(view.site, person, run_id, (SLICE, page.number), page.count)
        if page.layer in _NOTED:
            note_view(view.site, person, run_id, (_NOTED[page.layer], 0), page.count)
        return view.render(request, "slices.html", page=page)

    @app.get("/runs/{run_id}/slices/{number}")
    def picture(
        request: Request, run_id: str, number: int, layer: str = "", plain: int = 0
    ) -> Response:
        stack = stacks.stack(run_id)
        if not 0 <= number < stack.slice_count:
            return view.message(request, 404, "not_found")
        picture = draw_slice(stack, number, layer, contours=not plain)
        return Response(encode_png(picture), media_type="image/png")
