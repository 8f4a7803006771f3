"""The pages of releases: the list, one release with what may be done, its card, its recall.

Every form calls the same act as the command line; who may send which form is the table in
`access.py`, which is made from the lifecycle table, and table and gates decide once more.

Read next: `release_forms.py` (what a form asks for), `templates/release.html`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from adapters.governance.figures import figures_of
from adapters.governance.histories import release_lines
from adapters.validation.commissioning import standing
from adapters.web.access import ROUTES, Session
from adapters.web.commissionings import (
    CommissioningRow,
    ValidationRun,
    commissioning_rows,
    validation_runs,
)
from adapters.web.formats import NONE, moment
from adapters.web.history import Line, printed
from adapters.web.recall import recall_page
from adapters.web.release_forms import release_act, stop_act
from adapters.web.shell import Pages, csrf_holds, language_of
from governance.approvals import MEANINGS, approvals
from governance.certificate import Certificate
from governance.deployment import known, past_of
from governance.gates import Objection
from governance.lifecycle import STATES, open_actions
from governance.ports import Deployment
from governance.recall import KIND
from governance.stops import EVERYTHING
from governance.stops import KIND as STOP

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction

TONES = {"active": "good", "canary": "wait", "shadow": "wait", "suspended": "bad"}
BUTTONS = (*("approve", "shadow", "canary", "activate", "waive", "rollback", "suspend", "retire"),)
"""Acts of the lifecycle that a page offers; a certificate is a file and comes by command."""
WAY = ("registered", "validated", "approved", "shadow", "canary", "active")


@dataclass(frozen=True, slots=True)
class ReleaseLine:
    """One release in the list."""

    path: str
    plugin: str
    version: str
    digest: str
    state: str
    tone: str
    share: str
    on: str
    since: str
    decided_by: str
    stopped: bool


@dataclass(frozen=True, slots=True)
class ReleasesPage:
    """The list, and what may be stopped or lifted by the reader."""

    rows: tuple[ReleaseLine, ...]
    scopes: tuple[str, ...]
    stopped: tuple[str, ...]
    zone: str


@dataclass(frozen=True, slots=True)
class ApprovalLine:
    """One signature under a certificate."""

    at: str
    person: str
    role: str
    meaning: str
    evidence: str


@dataclass(frozen=True, slots=True)
class AgreementLine:
    """Agreement with the active release over all studies, or in one group."""

    name: str
    n: int
    mean: str
    interval: str


@dataclass(frozen=True, slots=True)
class ReleasePage:
    """Everything about one release."""

    path: str
    title: str
    plugin: str
    digest: str
    state: str
    role: str
    tone: str
    way: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    certificate: tuple[tuple[str, str], ...]
    objections: tuple[Objection, ...]
    approvals: tuple[ApprovalLine, ...]
    agreement: tuple[AgreementLine, ...]
    actions: tuple[str, ...]
    meanings: tuple[str, ...]
    has_results: bool
    recalled_at: str
    history: tuple[Line, ...]
    mode: str
    is_commissioned: bool
    commissionings: tuple[CommissioningRow, ...]
    validations: tuple[ValidationRun, ...]
    zone: str


def release_routes(app: FastAPI, view: Pages) -> None:
    """Add the pages of releases."""

    @app.get("/releases")
    def releases(request: Request) -> Response:
        return view.render(
            request, "releases.html", page=releases_page(view.site),
            stoppers=ROUTES["POST", "/stops/stop"], lifters=ROUTES["POST", "/stops/lift"],
        )  # fmt: skip

    @app.get("/releases/{digest}")
    def release(request: Request, digest: str) -> Response:
        page = release_page(view.site, full(digest), request.state.session)
        return view.render(request, "release.html", page=page)

    @app.get("/releases/{digest}/card")
    def card(request: Request, digest: str) -> Response:
        body = card_body(view.site, full(digest), language_of(request))
        return view.render(request, "release_card.html", path=short_path(digest), body=body)

    @app.get("/releases/{digest}/recall")
    def recall(request: Request, digest: str) -> Response:
        page = recall_page(view.site, full(digest), request.state.session)
        return view.render(request, "recall.html", page=page)

    @app.post("/stops/{act}")
    async def stops(request: Request, act: str) -> Response:
        values = await _values(request)
        return await run_in_threadpool(
            _done, view, request, values, lambda s, p: stop_act(s, p, act, values), "/releases"
        )

    @app.post("/releases/{digest}/{act}")
    async def do(request: Request, digest: str, act: str) -> Response:
        values = await _values(request)
        back = f"/releases/{short_path(digest)}"
        return await run_in_threadpool(
            _done, view, request, values,
            lambda s, p: release_act(s, p, act, full(digest), values),
            f"{back}/recall" if act in ("acknowledge", "handle") else back,
        )  # fmt: skip


async def _values(request: Request) -> dict[str, str]:
    return {key: str(value) for key, value in (await request.form()).items()}


def _done(view: Pages, request: Request, values: dict[str, str], act: Any, back: str) -> Response:
    if not csrf_holds(request, values.pop("csrf", "")):
        return view.message(request, 403, "forbidden")
    if act(view.site, request.state.session) is False:
        return view.message(request, 404, "not_found")
    return RedirectResponse(back, 303)


def full(digest: str) -> str:
    """Return the release digest that an address names."""
    return f"sha256:{digest.removeprefix('sha256:')}"


def short_path(digest: str) -> str:
    """Return a release digest as it stands in an address."""
    return digest.removeprefix("sha256:")


def releases_page(site: Site) -> ReleasesPage:
    """Return every release that lies at the site with its state, by plugin, newest first."""
    zone = site.configuration.site.time_zone
    with site.database.reading() as transaction:
        rows = {row.digest: row for row in transaction.releases()}
        present = [
            d for d in transaction.deployments() if d.site == site.configuration.site.name
        ]  # fmt: skip
        plugins = sorted({row.plugin for row in rows.values()})
        halted = tuple(scope for scope in (EVERYTHING, *plugins) if _is_stopped(transaction, scope))
    lines = [
        ReleaseLine(
            path=short_path(item.release_digest),
            plugin=item.plugin,
            version=rows[item.release_digest].version,
            digest=item.release_digest,
            state=item.state,
            tone=TONES.get(item.state, ""),
            share=f"{item.share:.0%}" if item.share else NONE,
            on=_on(item),
            since=moment(item.since, zone),
            decided_by=item.decided_by,
            stopped=EVERYTHING in halted or item.plugin in halted,
        )
        for item in present
        if item.release_digest in rows
    ]
    lines.sort(key=lambda line: (line.plugin, _state_order(line.state), line.since))
    open_scopes = tuple(scope for scope in (EVERYTHING, *plugins) if scope not in halted)
    return ReleasesPage(tuple(lines), open_scopes, halted, zone)


def release_page(site: Site, digest: str, session: Session) -> ReleasePage:
    """Return everything about one release; NotFoundError when it does not lie here."""
    zone, row = site.configuration.site.time_zone, site.registry.row(digest)
    manifest = json.loads(row.manifest)
    with site.database.reading() as transaction:
        present = known(transaction, site.configuration.site.name, digest)
        held = site.registry.certificate_standing(transaction, digest)
        given = approvals(transaction, digest)
        figures = (
            figures_of(transaction, present) if present.state in ("shadow", "canary") else None
        )
        mode = site.configuration.site.mode
        past = past_of(transaction, present)
        actions = open_actions(present.state, past, session.role, mode)
        recalled = transaction.governed(KIND, digest)
        has_results = bool(transaction.run_outcomes(digest, datetime.fromisoformat(_EARLIEST)))
    return ReleasePage(
        path=short_path(digest),
        title=f"{row.plugin} {row.version}",
        plugin=row.plugin,
        digest=digest,
        state=present.state,
        role=present.evidence.get("role", ""),
        tone=TONES.get(present.state, ""),
        way=_way(present.state),
        facts=_facts(present, manifest, zone),
        certificate=_certificate(held.certificate, zone),
        objections=held.objections,
        approvals=tuple(
            ApprovalLine(moment(item.at, zone), item.person, item.role, item.meaning, item.evidence)
            for item in given
        ),
        agreement=_agreement(figures),
        actions=tuple(action for action in BUTTONS if action in actions),
        meanings=MEANINGS,
        has_results=has_results,
        recalled_at=moment(recalled.recorded_at, zone) if recalled else "",
        history=tuple(printed(line, zone) for line in release_lines(site, row.plugin, digest)),
        mode=mode,
        is_commissioned=not standing(site, digest).objections,
        commissionings=commissioning_rows(site, digest),
        validations=validation_runs(site, digest),
        zone=zone,
    )


def card_body(site: Site, digest: str, language: str) -> Markup:
    """Return the readable model card of a release as HTML."""
    from adapters.documents.report_html import report_body
    from adapters.technical_file.build import look, marking_of
    from governance.cards.facts import card_facts
    from governance.cards.readable import readable_card

    row = site.registry.row(digest)
    facts = card_facts(look(site, row.digest).sources, marking_of(site, row.digest))
    return report_body(readable_card(facts, "de" if language == "de" else "en"))


_EARLIEST = "0001-01-01T00:00:00+00:00"


def _is_stopped(transaction: Transaction, scope: str) -> bool:
    document = transaction.governed(STOP, scope)
    return document is not None and document.content["state"] == "stopped"


def _on(item: Deployment) -> str:
    if "expires_at" in item.evidence:
        return "waiver"
    return "certificate" if "certificate" in item.evidence else "nothing"


def _state_order(state: str) -> int:
    order = ("active", "canary", "shadow", "standby", "suspended")
    return order.index(state) if state in order else len(order) + STATES.index(state)


def _way(state: str) -> tuple[tuple[str, str], ...]:
    """Return the states on the way into use, and where the release stands."""
    if state not in WAY:
        return (*((name, "") for name in WAY), (state, "now"))
    place = WAY.index(state)
    return tuple(
        (name, "now" if name == state else "reached" if index < place else "")
        for index, name in enumerate(WAY)
    )


def _facts(present: Deployment, manifest: dict[str, Any], zone: str) -> tuple[tuple[str, str], ...]:
    waiver = present.evidence.get("expires_at", "")
    ends = moment(datetime.fromisoformat(waiver), zone) if waiver else ""
    return (
        ("rel_digest", present.release_digest),
        ("rel_purpose", str(manifest.get("intended_purpose", NONE))),
        ("rel_evidence_class", str(manifest.get("evidence", NONE))),
        ("since", moment(present.since, zone)),
        ("rel_decided_by", present.decided_by),
        ("reason", present.evidence.get("reason") or present.evidence.get("waiver_reason") or NONE),
        ("rel_share", f"{present.share:.0%}" if present.share else NONE),
        *((("rel_expires", ends),) if ends else ()),
    )


def _certificate(found: Certificate | None, zone: str) -> tuple[tuple[str, str], ...]:
    if found is None:
        return ()
    return (
        ("rel_certificate_id", found.certificate_id),
        ("rel_verdict", found.verdict),
        ("rel_method", f"{found.method}, {found.metric_pack}"),
        ("rel_issued", moment(found.issued_at, zone)),
        ("rel_expires", moment(found.expires_at, zone)),
        ("rel_cohort", found.cohort_digest),
    )


def _agreement(figures: dict[str, Any] | None) -> tuple[AgreementLine, ...]:
    if figures is None or not figures["against"]:
        return ()
    agreement = figures["agreement"]
    rows = [("", agreement["overall"])]
    rows += [*agreement["structures"].items(), *agreement["subgroups"].items()]
    return tuple(
        AgreementLine(
            name,
            found["n"],
            NONE if found["mean"] is None else f"{found['mean']:.3f}",
            NONE if found["lower"] is None else f"{found['lower']:.3f} – {found['upper']:.3f}",
        )
        for name, found in rows
    )
