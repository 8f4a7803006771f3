"""Anchors: checkpoints kept where the administrator of the log cannot reach them.

For a site without a witness: a folder on another machine or a medium that is written once,
or a mailbox of somebody else.  Whoever verifies hands the kept notes to ``--anchor``.

Read next: `forwarding.py`.
"""

from __future__ import annotations

import os
import smtplib
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from adapters.attestation.attestor import Attestor, Job, Statement
from audit.errors import LogTamperedError, UnavailableError

_TIMEOUT_S = 20.0


class FolderAnchor(Attestor):
    """Writes each checkpoint into a file of its own, which is never written again."""

    kind = "anchor"

    def __init__(self, name: str, folder: Path, every_s: float = 0.0) -> None:
        super().__init__(name, every_s)
        self._folder = folder

    def attest(self, job: Job) -> Statement:
        """Return the name of the file; durable, and read back, on return.

        Raises
        ------
        LogTamperedError : another checkpoint of this size lies there.
        """
        place = self._folder / f"{job.checkpoint.tree_size}.txt"
        note = job.checkpoint.note.encode()
        try:
            if not place.exists():
                _write(place, note)
            kept = place.read_bytes()
        except OSError as error:
            raise UnavailableError(
                f"expected to write to anchor {self.name}, found {type(error).__name__}"
            ) from error
        if kept != note:
            raise LogTamperedError(
                f"expected checkpoint {job.checkpoint.tree_size} at anchor {self.name}, "
                "found another one of this size"
            )
        return Statement(f"file:{place.name}")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """How mail leaves, and to whom."""

    host: str
    port: int
    sender: str
    to: Sequence[str]


class MailAnchor(Attestor):
    """Sends checkpoints by mail (RFC 5321), each as text and as an attached file."""

    kind = "anchor"

    def __init__(self, name: str, mailbox: Mailbox, every_s: float) -> None:
        super().__init__(name, every_s)
        self._mailbox = mailbox

    def attest(self, job: Job) -> Statement:
        """Return to whom it was sent; the mail server took it over on return."""
        mailbox, checkpoint = self._mailbox, job.checkpoint
        try:
            message = EmailMessage()
            message["Subject"] = f"Osteon: checkpoint of {checkpoint.tree_size} records"
            message["From"] = mailbox.sender
            message["To"] = ", ".join(mailbox.to)
            message.set_content(
                "Keep this file.  With it a log that was cut or written anew is found:\n"
                "osteon audit verify --anchor FILE\n\n" + checkpoint.note
            )
            name = f"{checkpoint.tree_size}.txt"
            content = checkpoint.note.encode()
            message.add_attachment(content, maintype="text", subtype="plain", filename=name)
            with smtplib.SMTP(mailbox.host, mailbox.port, timeout=_TIMEOUT_S) as smtp:
                smtp.send_message(message)
        except (OSError, ValueError, smtplib.SMTPException) as error:
            raise UnavailableError(
                f"expected to send mail to anchor {self.name}, found {type(error).__name__}"
            ) from error
        return Statement(f"mail:{len(mailbox.to)}")


def _write(place: Path, content: bytes) -> None:
    building = place.with_suffix(".new")
    with building.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    building.rename(place)
    descriptor = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
