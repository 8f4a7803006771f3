"""Tell somebody that a run failed: webhook and e-mail, without patient data.

A notice names the run, the plugin and the code; who wants more looks at the run.  A
notice that cannot be sent is logged and never fails a run.
"""

from __future__ import annotations

import smtplib
from dataclasses import dataclass
from email.message import EmailMessage

import httpx
import structlog

from adapters.config import NoticesSection
from plugins.host.ports import Json, RunRequest

_log = structlog.get_logger(__name__)
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Notices:
    """Sends notices as the site configured them."""

    settings: NoticesSection
    site: str

    def failed(self, request: RunRequest, code: str, advice: str) -> None:
        """Tell that a run failed."""
        notice: Json = {
            "event": "run failed",
            "site": self.site,
            "run_id": request.run_id,
            "plugin": request.plugin,
            "release_digest": request.release_digest,
            "code": code,
            "advice": advice,
        }
        if self.settings.webhook_url:
            self._post(notice)
        if self.settings.smtp_host and self.settings.mail_to:
            self._mail(notice)

    def _post(self, notice: Json) -> None:
        try:
            httpx.post(self.settings.webhook_url, json=notice, timeout=TIMEOUT_S).raise_for_status()
        except httpx.HTTPError as error:
            _log.warning("notice not sent", way="webhook", error=type(error).__name__)

    def _mail(self, notice: Json) -> None:
        message = EmailMessage()
        message["Subject"] = f"Osteon: run failed ({notice['code']})"
        message["From"] = self.settings.mail_from
        message["To"] = ", ".join(self.settings.mail_to)
        message.set_content("\n".join(f"{key}: {value}" for key, value in notice.items()))
        try:
            with smtplib.SMTP(
                self.settings.smtp_host, self.settings.smtp_port, timeout=TIMEOUT_S
            ) as smtp:
                smtp.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            _log.warning("notice not sent", way="mail", error=type(error).__name__)
