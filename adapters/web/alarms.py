"""The page of alarms: what moved, what the plan did, who was told, what people decided.

Read next: `templates/alarms.html`, `adapters/monitoring/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from adapters.monitoring.alarming import decide
from adapters.monitoring.answering import acknowledge, silence_alarm
from adapters.monitoring.standing import standing
from adapters.web.access import ROUTES, Session
from adapters.web.alarm_reasons import in_words
from adapters.web.formats import moment, percent
from adapters.web.shell import Pages, csrf_holds, language_of
from adapters.web.texts import translator
from audit.errors import ConfigurationError
from governance.monitoring import silence
from governance.monitoring.actions import REQUEST, STOPPED
from governance.monitoring.fatigue import Fatigue
from governance.monitoring.plan import NOTIFY
from governance.monitoring.reevaluation import DECISIONS, OPEN, is_overdue
from governance.oversight.rates import Rate
from governance.ports import GovernedDocument

if TYPE_CHECKING:
    from adapters.compose import Site

Documents = Mapping[str, GovernedDocument]


@dataclass(frozen=True, slots=True)
class AlarmLine:
    """One alarm.

    Parameters
    ----------
    anchor : of the newest alarm of its name; empty for earlier ones.
    told : step, person and time of each step of the escalation.
    silent_until : empty where nobody silenced it.
    may_be_silent : it notifies and nothing else, and is no monitor that stopped.
    """

    name: str
    anchor: str
    plugin: str
    digest: str
    reason: str
    owner: str
    opened: str
    deadline: str
    is_open: bool
    is_late: bool
    decision: str
    why: str
    action: str
    request: str
    back_to: str
    told: tuple[tuple[str, str, str], ...]
    acknowledged: str
    silent_until: str
    may_be_silent: bool


@dataclass(frozen=True, slots=True)
class FatigueLine:
    """How the alarms of one release weigh."""

    digest: str
    weeks: str
    opened: int
    per_week: str
    late: str
    no_action: str
    overdue: int
    days: str


@dataclass(frozen=True, slots=True)
class AlarmsPage:
    """Every alarm of a monitor, open ones first, and what the reader may do.

    Parameters
    ----------
    silences : name, end, reason and person of those in force.
    """

    rows: tuple[AlarmLine, ...]
    fatigue: tuple[FatigueLine, ...]
    may_decide: bool
    may_acknowledge: bool
    may_silence: bool
    decisions: tuple[str, ...]
    least: str
    most: str
    silences: tuple[tuple[str, str, str, str], ...] = ()


def alarms_page(site: Site, session: Session, language: str) -> AlarmsPage:
    """Return every alarm, and what the reader may do."""
    t = translator(language)
    found, now = standing(site), site.now()
    with site.database.reading() as transaction:
        requests = {item.name: item for item in transaction.governed_all(REQUEST)}
        silences = {item.name: item for item in transaction.governed_all(silence.KIND)}
    seen: set[str] = set()
    rows = []
    for item in found.items:
        anchor = "" if item.name in seen else item.name
        seen.add(item.name)
        rows.append(_line(site, item, anchor, (requests, silences), t))
    today = now.astimezone(ZoneInfo(site.configuration.site.time_zone)).date()
    return AlarmsPage(
        tuple(rows),
        tuple(_weight(digest, one) for digest, one in found.fatigue.items()),
        _may(session, "decide"),
        _may(session, "acknowledge"),
        _may(session, "silence") and not site.configuration.governance.suspend_on_alarm,
        DECISIONS,
        today.isoformat(),
        (today + silence.LONGEST - timedelta(days=1)).isoformat(),
        tuple(_silence(one, site.configuration.site.time_zone) for one in found.silences),
    )


def alarm_routes(app: FastAPI, view: Pages) -> None:
    """Add the page of alarms and what may be answered there."""

    def answered(request: Request, csrf: str, name: str, act: Any) -> Response:
        if not csrf_holds(request, csrf):
            return view.message(request, 403, "forbidden")
        act()
        return RedirectResponse(f"/alarms#{quote(name)}", 303)

    @app.get("/alarms")
    def alarms(request: Request) -> Response:
        page = alarms_page(view.site, request.state.session, language_of(request))
        return view.render(request, "alarms.html", page=page)

    @app.post("/alarms/{name}/decide")
    def decided(
        request: Request,
        name: str,
        csrf: Annotated[str, Form()],
        decision: Annotated[str, Form()],
        reason: Annotated[str, Form()] = "",
    ) -> Response:
        person = request.state.session
        return answered(
            request, csrf, name, lambda: decide(view.site, name, decision, reason, person)
        )

    @app.post("/alarms/{name}/acknowledge")
    def taken_up(request: Request, name: str, csrf: Annotated[str, Form()]) -> Response:
        person = request.state.session
        return answered(request, csrf, name, lambda: acknowledge(view.site, name, person))

    @app.post("/alarms/{name}/silence")
    def silenced(
        request: Request,
        name: str,
        csrf: Annotated[str, Form()],
        until: Annotated[str, Form()],
        reason: Annotated[str, Form()] = "",
    ) -> Response:
        person = request.state.session
        return answered(
            request, csrf, name,
            lambda: silence_alarm(view.site, name, end_of_day(view.site, until), reason, person),
        )  # fmt: skip


def end_of_day(site: Site, text: str) -> datetime:
    """Return the end of a day at the site; ConfigurationError when it is none."""
    try:
        day = datetime.strptime(text.strip(), "%Y-%m-%d").date()
    except ValueError as error:
        raise ConfigurationError("expected a day as YYYY-MM-DD") from error
    zone = ZoneInfo(site.configuration.site.time_zone)
    return datetime.combine(day, time(23, 59, 59), zone)


def _may(session: Session, act: str) -> bool:
    roles = ROUTES[("POST", f"/alarms/{{name}}/{act}")]
    return isinstance(roles, frozenset) and session.role in roles


def _line(
    site: Site,
    item: GovernedDocument,
    anchor: str,
    answers: tuple[Documents, Documents],
    t: Mapping[str, str],
) -> AlarmLine:
    requests, silences = answers
    stated: Mapping[str, Any] = item.content
    zone = site.configuration.site.time_zone
    request = requests.get(item.name)
    asked: Mapping[str, str] = {} if request is None else request.content
    if asked.get("opened_at") != stated["opened_at"]:
        asked = {}  # of an earlier alarm of this item
    quiet = silences.get(item.name)
    is_silent = anchor and stated["state"] == OPEN and silence.is_silent(quiet, site.now())
    until = "" if quiet is None or not is_silent else str(quiet.content["until"])
    taken = str(stated.get("acknowledged_at", ""))
    return AlarmLine(
        item.name, anchor, stated["plugin"], stated["release_digest"],
        in_words(str(stated["reason"]), t),
        stated["owner"], stated["opened_at"][:10], stated["deadline"][:10],
        stated["state"] == OPEN, is_overdue(item, site.now()), stated.get("decision", ""),
        stated.get("decision_reason", ""),
        NOTIFY if stated["about"].startswith(STOPPED) else stated["action"],
        asked.get("state", ""), asked.get("to", ""),
        tuple(
            (one["step"], one["person"], moment(datetime.fromisoformat(one["at"]), zone))
            for one in stated.get("told", ())
        ),
        f"{stated['acknowledged_by']}, {moment(datetime.fromisoformat(taken), zone)}"
        if taken else "",
        moment(datetime.fromisoformat(until), zone) if until else "",
        stated["action"] == NOTIFY and not stated["about"].startswith(STOPPED),
    )  # fmt: skip


def _silence(one: GovernedDocument, zone: str) -> tuple[str, str, str, str]:
    until = datetime.fromisoformat(str(one.content["until"]))
    return one.name, moment(until, zone), str(one.content["reason"]), one.recorded_by


def _weight(digest: str, one: Fatigue) -> FatigueLine:
    days = "–" if one.median_days is None else f"{one.median_days:.1f}"
    return FatigueLine(
        digest, f"{one.weeks:.1f}", one.opened, f"{one.per_week:.2f}", _share(one.late_rate),
        _share(one.no_action_rate), one.overdue, days,
    )  # fmt: skip


def _share(found: Rate) -> str:
    if found.value is None or found.lower is None or found.upper is None:
        return "–"
    bounds = f"{percent(found.lower)} – {percent(found.upper)}"
    return f"{found.k}/{found.n} = {percent(found.value)} ({bounds})"
