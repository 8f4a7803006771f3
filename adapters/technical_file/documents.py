"""Which files a technical file becomes: JSON for machines, pages for people, one name each.

Read next: `build.py`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

from adapters.documents.report_html import report_html
from adapters.documents.report_markdown import report_markdown
from audit import canonical
from governance import declaration, risk
from governance.cards.aid_rt import aid_rt
from governance.cards.chai import chai_xml
from governance.cards.facts import card_facts
from governance.cards.readable import readable_card
from governance.declaration import CeMarking
from governance.declaration_report import declaration_report
from governance.instructions import instructions
from governance.log_guide import log_guide
from governance.report import LANGUAGES, Report, encode
from governance.risk_trace import trace
from governance.technical_file.contents_office import evidence_of, register_of
from governance.technical_file.file import TechnicalFile
from governance.technical_file.file import encode as encode_file
from governance.technical_file.file_report import file_report
from governance.technical_file.found import MALFORMED
from governance.technical_file.indexes import index_aia, index_mdr
from governance.technical_file.sources import Sources

PRINTED = ("technical-file.html", "ifu/ifu-en.html", "ifu/ifu-de.html")
"""Pages that are also printed as PDF."""
_TRACE = ("hazard", "severity", "before", "after", "control", "type", "code", "test", "outcome")


def documents(
    file: TechnicalFile,
    sources: Sources,
    draft: Mapping[str, Any] | None,
    marking: CeMarking | None = None,
) -> dict[str, bytes]:
    """Return every document of a technical file by its name; the same input, the same bytes.

    Parameters
    ----------
    draft : the declaration as far as it stands, where nobody has signed one.
    """
    facts = card_facts(sources, marking)
    found: dict[str, bytes] = {
        "annex_iv.json": _json(encode_file(file)),
        "index_aia.json": _json(index_aia(file)),
        "index_mdr.json": _json(index_mdr(file)),
        "card/aid-rt.json": _json(aid_rt(facts)),
        "card/chai.xml": chai_xml(facts),
        "card/model-card.md": report_markdown(readable_card(facts, "en")).encode(),
    }
    reports: dict[str, Report] = {}
    for language in LANGUAGES:
        suffix = "" if language == "en" else f"-{language}"
        reports[f"technical-file{suffix}.html"] = file_report(file, language)
        reports[f"ifu/ifu-{language}.html"] = instructions(sources, language)
        reports[f"ifu/log-guide-{language}.html"] = log_guide(language)
        reports[f"card/model-card-{language}.html"] = readable_card(facts, language)
        found[f"ifu/ifu-{language}.json"] = _json(encode(instructions(sources, language)))
    act = sources.content(declaration.KIND) or draft
    if act is not None:
        for language in LANGUAGES:
            reports[f"declaration/declaration-{language}.html"] = declaration_report(act, language)
    if sources.content(declaration.KIND) is not None:
        found["declaration/eu_doc.json"] = canonical.encode(sources.content(declaration.KIND))
    found |= dict(_risk(sources))
    return found | {name: report_html(report).encode() for name, report in reports.items()}


def _risk(sources: Sources) -> Iterator[tuple[str, bytes]]:
    document = sources.content(risk.KIND)
    if document is None:
        return
    yield "risk/risk_register.json", canonical.encode(document)
    try:
        yield "risk/trace_matrix.csv", _trace(sources)
    except MALFORMED:  # the field p5.rms says so
        return


def _trace(sources: Sources) -> bytes:
    sink = io.StringIO()
    rows = csv.writer(sink, lineterminator="\n")
    rows.writerow(_TRACE)
    for row in trace(register_of(sources), evidence_of(sources)):
        hazard, control = row.hazard, row.control
        cells = (
            hazard.hazard_id, hazard.severity, hazard.before, hazard.after,
            control.control_id if control else "", control.kind if control else "",
            " ".join(control.code) if control else "", row.test, row.outcome,
        )  # fmt: skip
        rows.writerow([_plain(cell) for cell in cells])
    return sink.getvalue().encode()


def _plain(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    return f"'{cell}" if cell[:1] in "=+-@\t\r" and cell[:1] else cell


def _json(document: Any) -> bytes:
    """Return JSON that a person can read, in a fixed form."""
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()
