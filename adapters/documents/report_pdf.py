"""A report as PDF, printed from its HTML by WeasyPrint (optional extra ``pdf``).

WeasyPrint needs Debian's ``libpango-1.0-0`` and ``libpangoft2-1.0-0``.  Where it is missing,
the HTML says the same and prints from any browser.

Read next: `report_html.py`.
"""

from __future__ import annotations

import base64
from typing import Any

from audit.errors import ConfigurationError

ADVICE = (
    "Install it with `pip install osteon[pdf]` and `apt-get install libpango-1.0-0 "
    "libpangoft2-1.0-0`; the HTML has the same content and prints from a browser."
)


def report_pdf(html: str) -> bytes:
    """Return the PDF of a report's HTML page; the same page and fonts give the same bytes.

    Raises
    ------
    ConfigurationError : WeasyPrint, or a library that it needs, is not installed.
    """
    try:
        from weasyprint import HTML
    except (ImportError, OSError) as error:  # OSError: a shared library is not there
        raise ConfigurationError(
            f"expected WeasyPrint for PDF, found none: {type(error).__name__}", advice=ADVICE
        ) from error
    return bytes(HTML(string=html, url_fetcher=_nothing).write_pdf())


def _nothing(url: str, *_: Any, **__: Any) -> Any:
    """Fetch nothing but what stands in the page itself: a report carries all that it shows."""
    head, _comma, inside = url.partition(",")
    if head == "data:image/png;base64":
        from weasyprint.urls import URLFetcherResponse

        return URLFetcherResponse(
            url, base64.b64decode(inside), headers={"Content-Type": "image/png"}
        )
    raise ValueError(f"a report loads nothing from outside, found {url[:80]}")
