"""Reports drawn: HTML, SVG, Markdown and PDF say what the value says, and nothing runs."""

import builtins
import hashlib
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from adapters.documents.canvas import encode_png
from adapters.documents.report_figures import forest_svg, plot_svg
from adapters.documents.report_html import report_html, report_sections
from adapters.documents.report_markdown import report_markdown
from adapters.documents.report_pdf import report_pdf
from audit.errors import ConfigurationError, RecordError
from governance.report import (
    Bullets,
    Code,
    Column,
    Facts,
    Forest,
    Interval,
    Number,
    Paragraph,
    Picture,
    Plot,
    Report,
    Section,
    Series,
    Status,
    Table,
    encode,
)

HOSTILE = '<script>alert("x")</script> & "quoted" | `code` [a](http://example.org)'
ROWS = (
    Interval("all", Number(0.817, 3, 0.79, 0.84, 34), emphasised=True),
    Interval("below 100 ml", Number(0.802, 3, 0.769, 0.833, 7)),
)
FOREST = Forest("DSC by size", "DSC", ROWS, 0.82, "criterion 0.82")
PLOT = Plot(
    "Difference", "mean (ml)", "difference (ml)",
    (Series("CT", ((0.0, -5.0), (100.0, 8.0))), Series("PET", ((0.0, 1.0), (90.0, 2.0)), "line")),
    ((0.0, "bias"),),
)  # fmt: skip


def sample(text: str = "plain", language: Any = "en") -> Report:
    """Return a report that has every kind of block."""
    table = Table(text, (Column("given"), Column("DSC", "-")), ((text, ROWS[0].number),), text)
    facts = Facts((("state", Status("MISSING", "bad")), ("digest", Code(text))))
    inner = Section("Inner", (Bullets((text, "two")),), key="inner")
    return Report(
        text, "Report", language, (("release", Code("sha256:1")),),
        (
            Section("First", (Paragraph(text), table, facts), key="first"),
            Section("Figures", (FOREST, PLOT)),
            Section("Last", (), (inner,)),
        ),
        Status("Draft", "wait"),
    )  # fmt: skip


class _Balance(HTMLParser):
    """Counts open tags and collects names and visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(html: str) -> _Balance:
    reader = _Balance()
    reader.feed(html)
    assert reader.open == []
    return reader


def test_the_page_says_what_the_report_says() -> None:
    """Every text and number stands on the page, under headings in order, in its language."""
    page = _read(report_html(sample()))
    for text in ("plain", "0.817 (0.790 to 0.840, n = 34)", "MISSING", "sha256:1", "Draft"):
        assert text in page.text
    assert [tag for tag in page.tags if re.fullmatch(r"h\d", tag)] == ["h1", *["h2"] * 4, "h3"]
    assert "0,817 (0,790 bis 0,840, n = 34)" in report_html(sample(language="de"))
    assert '<html lang="de">' in report_html(sample(language="de"))


def test_hostile_text_stays_text() -> None:
    """Markup in any field is printed and never becomes markup; nothing is loaded."""
    html = report_html(sample(HOSTILE))
    page = _read(html)
    assert "script" not in page.tags
    assert page.text.count('<script>alert("x")</script>') == 8
    assert not re.search(r"<(img|link|iframe|object)|src=|@import|url\(", html)


@pytest.mark.parametrize("drawing", [forest_svg(FOREST, "en"), plot_svg(PLOT, "de")])
def test_a_figure_is_good_xml_with_title_and_description(drawing: str) -> None:
    """A drawing is well-formed, tells a screen reader what it shows, and stays in its frame."""
    root = ElementTree.fromstring(drawing)
    names = [child.tag.split("}")[1] for child in root]
    assert names[:2] == ["title", "desc"]
    width, height = (float(v) for v in root.attrib["viewBox"].split()[2:])
    for element in root.iter():
        for key, limit in (("x", width), ("x1", width), ("cx", width), ("y", height)):
            if key in element.attrib:
                assert 0 <= float(element.attrib[key]) <= limit


def test_a_forest_places_numbers_by_their_value() -> None:
    """A larger value lies farther right, and its whisker spans its interval."""
    root = ElementTree.fromstring(forest_svg(FOREST, "en"))
    space = "{http://www.w3.org/2000/svg}"
    first, second = (float(dot.attrib["cx"]) for dot in root.iter(f"{space}circle"))
    whiskers = [e for e in root.iter(f"{space}line") if e.attrib["stroke-width"] == "2"]
    assert first > second
    assert float(whiskers[0].attrib["x1"]) < first < float(whiskers[0].attrib["x2"])


@pytest.mark.parametrize("values", [(0.5,), (0.0, 0.0), (-1e-9, 1e9), (1e-7, 3e-7), ()])
def test_any_range_of_values_can_be_drawn(values: tuple[float, ...]) -> None:
    """One value, equal values, huge and tiny ranges, and none at all are drawn."""
    rows = tuple(Interval(str(value), Number(value, 3)) for value in values)
    assert "NaN" not in str(forest_svg(Forest("f", "a", rows), "en"))


def test_markdown_prints_text_as_it_is() -> None:
    """A table cell cannot open a column, and text cannot become a link or markup."""
    text = report_markdown(sample(HOSTILE))
    (row,) = [line for line in text.splitlines() if "0.817" in line and line.startswith("|")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 3
    assert "<script>" not in text
    assert "0.817 (0.790 to 0.840, n = 34)" in text


@pytest.mark.slow
def test_the_pdf_has_the_words_of_the_page(tmp_path: Path) -> None:
    """The PDF can be searched for every number, and the same report gives the same bytes."""
    pytest.importorskip("weasyprint")
    raw = report_pdf(report_html(sample()))
    assert raw.startswith(b"%PDF-")
    assert raw == report_pdf(report_html(sample()))
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")
    (tmp_path / "report.pdf").write_bytes(raw)
    found = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "report.pdf", "-"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "0.817 (0.790 to 0.840, n = 34)" in found
    assert "MISSING" in found


def test_without_weasyprint_the_advice_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where WeasyPrint cannot be imported, the operator is told what to install."""
    found = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "weasyprint":
            raise OSError("cannot load library 'libpango-1.0-0'")
        return found(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError) as refused:
        report_pdf("<p>x</p>")
    assert "osteon[pdf]" in refused.value.advice
    assert "libpango-1.0-0" in refused.value.advice


PIXEL = encode_png(np.full((4, 6, 3), 90, dtype=np.uint8))
PICTURE = Picture("case-1.png", "Worst case", 'An outline beside "the" reference <b>', PIXEL)


def _pictured() -> Report:
    plot = Plot(
        "By level", "noise (HU)", "DSC",
        tuple(
            Series(f"a rather long name of input {n}", ((0.0, 0.8), (20.0, 0.7)), "both",
                   ((0.75, 0.85), (0.6, 0.8)))
            for n in range(5)
        ),
        described="DSC falls from 0.80 to 0.70",
    )  # fmt: skip
    return Report("r", "k", "en", (), (Section("s", (plot, PICTURE), key="s"),))


def test_a_picture_stands_inside_the_page_or_at_its_address() -> None:
    """A page of one file carries its pictures; a page of a site names where they are."""
    html = report_html(_pictured())
    assert re.findall(r'src="data:image/png;base64,[A-Za-z0-9+/=]+"', html)
    assert "&#34;the&#34; reference &lt;b&gt;" in html
    body = report_sections(_pictured(), lambda picture: f"/pictures/{picture.name}")
    assert 'src="/pictures/case-1.png"' in body
    assert "base64" not in body
    assert encode(PICTURE)["png"] == f"sha256:{hashlib.sha256(PIXEL).hexdigest()}"
    assert "An outline beside" in report_markdown(_pictured())


def test_whiskers_span_intervals_and_the_legend_breaks_lines() -> None:
    """Each point has its whisker; a legend with long names stays in the frame."""
    (plot, _) = _pictured().sections[0].blocks
    assert isinstance(plot, Plot)
    root = ElementTree.fromstring(plot_svg(plot, "en"))
    space = "{http://www.w3.org/2000/svg}"
    blue = [line for line in root.iter(f"{space}line") if line.attrib["stroke"] == "#0b5c8a"]
    dots = [dot for dot in root.iter(f"{space}circle") if dot.attrib["fill"] == "#0b5c8a"]
    for whisker, dot in zip(blue, dots, strict=False):
        middle = float(dot.attrib["cy"])
        assert float(whisker.attrib["y2"]) < middle < float(whisker.attrib["y1"])
    assert len(blue) == 2
    width, height = (float(v) for v in root.attrib["viewBox"].split()[2:])
    texts = [text for text in root.iter(f"{space}text") if "rather long" in str(text.text)]
    assert len({text.attrib["y"] for text in texts}) > 1
    for text in texts:
        assert float(text.attrib["x"]) + 6.5 * len(str(text.text)) <= width
        assert float(text.attrib["y"]) <= height
    assert root[1].text == "DSC falls from 0.80 to 0.70"


def test_every_point_has_an_interval_or_none_has() -> None:
    """A whisker cannot stand at another point than its own."""
    with pytest.raises(RecordError):
        Series("s", ((0.0, 1.0), (1.0, 2.0)), intervals=((0.5, 1.5),))


@pytest.mark.slow
def test_a_picture_is_printed() -> None:
    """The PDF holds the picture; an address outside is not fetched."""
    pytest.importorskip("weasyprint")
    assert b"/Image" in report_pdf(report_html(_pictured()))
