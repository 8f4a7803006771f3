"""The pages of technical files: which releases are documented, and what one still lacks.

A page looks at the sources as they are now; it records nothing.  Who fills a gap does so at the
command line, where the login says who it was.

Read next: `templates/technical_file.html`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from adapters.database.deployments import ReleaseRow
from adapters.technical_file.build import Looked, look, marking_of, source_room
from adapters.web.shell import Pages, language_of
from governance.gates import Objection, Passage
from governance.technical_file.bundle import KIND
from governance.technical_file.fields import POINTS
from governance.technical_file.file import Field
from governance.technical_file.indexes import point_counts
from governance.technical_file.reasons import reason_text

if TYPE_CHECKING:
    from adapters.compose import Site

_TONES = {"complete": "good", "n/a": "", "missing": "bad"}
_KEYS = {"complete": "tf_complete", "n/a": "tf_na", "missing": "tf_missing"}


@dataclass(frozen=True, slots=True)
class FileLine:
    """One release in the list, with how far its file is."""

    digest: str
    plugin: str
    version: str
    complete: int
    absent: int
    missing: int
    total: int
    state: str
    tone: str


@dataclass(frozen=True, slots=True)
class PointLine:
    """How far one point of the law is."""

    point: str
    title: str
    complete: int
    absent: int
    missing: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class FieldLine:
    """One field as it stands; ``status`` and ``needs`` are keys of texts."""

    point: str
    title: str
    path: str
    status: str
    tone: str
    reason: str
    author: str
    signed_at: str
    needs: str


@dataclass(frozen=True, slots=True)
class FilePage:
    """Everything about the technical file of one release."""

    title: str
    digest: str
    built_at: str
    bundle: str
    stale: tuple[str, ...]
    ce: str
    points: tuple[PointLine, ...]
    gaps: tuple[FieldLine, ...]
    fields: tuple[FieldLine, ...]
    objections: tuple[Objection, ...]


def technical_file_routes(app: FastAPI, view: Pages) -> None:
    """Add the two pages."""

    @app.get("/technical-files")
    def files(request: Request) -> Response:
        return view.render(request, "technical_files.html", rows=file_lines(view.site))

    @app.get("/releases/{digest}/technical-file")
    def file(request: Request, digest: str) -> Response:
        page = file_page(view.site, digest, language_of(request))
        return view.render(request, "technical_file.html", page=page)


def file_lines(site: Site) -> tuple[FileLine, ...]:
    """Return one line for each release that lies at the site."""
    with site.database.reading() as transaction:
        rows = transaction.releases()
    return tuple(_line(row, look(site, row.digest)) for row in rows)


def file_page(site: Site, digest: str, language: str) -> FilePage:
    """Return everything about the file of a release; NotFoundError when it does not lie here."""
    row = site.registry.row(f"sha256:{digest.removeprefix('sha256:')}")
    looked = look(site, row.digest)
    with site.database.reading() as transaction:
        document = transaction.governed(KIND, row.digest)
        passage = _into_use(site, row)
        gates = source_room(site).desk().gates()
        objections = tuple(item for gate in gates for item in gate(passage, transaction))
    marking = marking_of(site, row.digest)
    record = looked.record or {}
    return FilePage(
        title=f"{row.plugin} {row.version}",
        digest=row.digest,
        built_at=f"{document.recorded_at:%Y-%m-%d %H:%M}" if document else "",
        bundle=str(record.get("bundle_sha256", "")),
        stale=looked.stale,
        ce="" if marking is None else f"CE {marking.notified_body}".strip(),
        points=_points(looked, language),
        gaps=tuple(_field(f, language) for f in looked.file.fields if f.status == "missing"),
        fields=tuple(_field(f, language) for f in looked.file.fields),
        objections=_grouped(objections),
    )


def _grouped(objections: tuple[Objection, ...]) -> tuple[Objection, ...]:
    """Return one objection for each code, in order, with every text that it stands for."""
    texts: dict[str, list[str]] = {}
    advice = {item.code: item.advice for item in objections}
    for item in objections:
        texts.setdefault(item.code, []).append(item.text)
    return tuple(Objection(code, "; ".join(rows), advice[code]) for code, rows in texts.items())


def _into_use(site: Site, row: ReleaseRow) -> Passage:
    """Return the passage that the page asks about: this release into clinical use, now."""
    manifest: Mapping[str, Any] = json.loads(row.manifest)
    name = site.configuration.site.name
    return Passage(
        name, "clinical", row.plugin, row.digest, manifest, "canary", "active", "", "", site.now()
    )


def _line(row: ReleaseRow, looked: Looked) -> FileLine:
    counts = looked.file.counts()
    state, tone = "tf_current", "good"
    if looked.record is None:
        state, tone = "tf_never_built", "wait"
    elif looked.stale:
        state, tone = "tf_stale", "wait"
    return FileLine(
        row.digest.removeprefix("sha256:"), row.plugin, row.version, counts["complete"],
        counts["n/a"], counts["missing"], sum(counts.values()), state, tone,
    )  # fmt: skip


def _points(looked: Looked, language: str) -> tuple[PointLine, ...]:
    index = 1 if language == "de" else 0
    lines = []
    for point, counts in point_counts(looked.file).items():
        done = counts["complete"] + counts["n/a"]
        lines.append(
            PointLine(
                point, POINTS[point][index], counts["complete"], counts["n/a"],
                counts["missing"], done, done + counts["missing"],
            )
        )  # fmt: skip
    return tuple(lines)


def _field(item: Field, language: str) -> FieldLine:
    return FieldLine(
        point=item.rule.point,
        title=item.rule.de if language == "de" else item.rule.en,
        path=item.rule.path,
        status=_KEYS[item.status],
        tone=_TONES[item.status],
        reason=reason_text(item.reason, language),
        author=item.author,
        signed_at=item.signed_at[:16].replace("T", " "),
        needs="tf_source" if item.rule.gen == "A" else "tf_person",
    )
