"""Tell somebody that a run failed or needs a person: webhook and e-mail, no patient data.

A notice names the run, the plugin and the code; who wants more looks at the run.  A
notice that cannot be sent is logged and never fails a run.
"""

from __future__ import annotations

import smtplib
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

import httpx
import structlog

from adapters.config_sections import NoticesSection
from plugins.host.ports import Json, RunRequest

_log = structlog.get_logger(__name__)
TIMEOUT_S = 10.0
SENT = "sent"


@dataclass(frozen=True, slots=True)
class Notices:
    """Sends notices as the site configured them."""

    settings: NoticesSection
    site: str

    def failed(self, request: RunRequest, code: str, advice: str) -> None:
        """Tell that a run failed."""
        self.tell("run failed", request, code, advice)

    def tell(self, event: str, request: RunRequest, code: str, advice: str) -> None:
        """Tell of an event of a run."""
        notice: Json = {
            "event": event,
            "site": self.site,
            "run_id": request.run_id,
            "plugin": request.plugin,
            "release_digest": request.release_digest,
            "code": code,
            "advice": advice,
        }
        self._tell(notice, f"Osteon: {event} ({code})")

    def recalled(self, recall: Mapping[str, Any]) -> None:
        """Tell that the results of a release are recalled: how many, and no patient."""
        notice: Json = {
            "event": "results recalled",
            "site": self.site,
            "plugin": recall["plugin"],
            "release_digest": recall["release_digest"],
            "runs": recall["runs"],
            "patients": recall["patients"],
            "told": ", ".join(recall["told"]),
            "advice": "Read the list and acknowledge it: osteon governance recall.",
        }
        self._tell(notice, f"Osteon: results of {recall['plugin']} recalled")

    def alarmed(self, event: str, facts: Mapping[str, str], address: str = "") -> None:
        """Tell of an alarm of a monitor: item, owner and deadline, and no patient.

        Parameters
        ----------
        address : of the person it is for; empty, or where it fails, tells as the site does.
        """
        notice: Json = {"event": event, "site": self.site, **facts}
        if address:
            outcome = send(self.settings, address, notice)
            if outcome == SENT:
                return
            _log.warning("notice not sent", way="person", error=outcome)
        self._tell(notice, f"Osteon: {event} ({facts['plugin']}, {facts['item']})")

    def _tell(self, notice: Json, subject: str) -> None:
        if self.settings.webhook_url:
            self._post(notice)
        if self.settings.smtp_host and self.settings.mail_to:
            self._mail(notice, subject)

    def _post(self, notice: Json) -> None:
        outcome = send(self.settings, self.settings.webhook_url, notice)
        if outcome != SENT:
            _log.warning("notice not sent", way="webhook", error=outcome)

    def _mail(self, notice: Json, subject: str) -> None:
        outcome = _mailed(self.settings, ", ".join(self.settings.mail_to), subject, notice)
        if outcome != SENT:
            _log.warning("notice not sent", way="mail", error=outcome)


def send(settings: NoticesSection, address: str, notice: Json) -> str:
    """Send a notice to ``https://...`` as JSON or to ``mailto:...`` as text.

    Returns
    -------
    `SENT`, or a code of what went wrong, without what the other side said.
    """
    if address.startswith("mailto:"):
        subject = f"Osteon: {notice['event']} {notice.get('notice_id', '')}".strip()
        return _mailed(settings, address.removeprefix("mailto:"), subject, notice)
    try:
        httpx.post(address, json=notice, timeout=TIMEOUT_S).raise_for_status()
    except httpx.HTTPStatusError as error:
        return f"HTTP_{error.response.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return type(error).__name__
    return SENT


def _mailed(settings: NoticesSection, to: str, subject: str, notice: Json) -> str:
    if not settings.smtp_host:
        return "NO_MAIL_SERVER"
    try:
        message = EmailMessage()
        message["Subject"] = subject
        message["From"] = settings.mail_from
        message["To"] = to
        message.set_content(_plain(notice))
        with smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=TIMEOUT_S) as smtp:
            smtp.send_message(message)
    except (OSError, ValueError, smtplib.SMTPException) as error:
        return type(error).__name__
    return SENT


def _plain(notice: Json) -> str:
    """Return a notice as text: one line for each fact, texts as paragraphs."""
    lines = []
    for key, value in notice.items():
        if isinstance(value, dict):
            lines += ["", *(f"[{name}] {' '.join(part)}" for name, part in value.items()), ""]
        else:
            lines.append(f"{key}: {value}")
    return "\n".join(lines)
