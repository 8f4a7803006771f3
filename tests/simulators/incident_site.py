"""A site with one finished run and a person in every role, for tests about incidents."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

from adapters.compose import Site, open_site
from adapters.home import Home
from governance.accounts import Account
from tests.simulators.example_site import configuration, prepare, served, small_phantom

PASSWORD = "correct horse battery"
VERIFIER = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
ROLES = ("clinician", "physicist", "engineer", "approver", "compliance", "administrator")


@dataclass(frozen=True)
class Somebody:
    """A person in a role, as a session is one."""

    account_id: str
    role: str


PEOPLE = {role: Somebody(f"the-{role}", role) for role in ROLES}


def finished_run(root: Path) -> tuple[Home, str]:
    """Return the home of a site on the example plugin, and the id of its one finished run."""
    home = prepare(root)
    study, files = small_phantom()
    with served(home, root) as (site, turn):
        site.archives["pacs"].store(study, files)
        ends = time.monotonic() + 120
        run_id = ""
        while not run_id and time.monotonic() < ends:
            turn()
            time.sleep(0.02)
            with site.database.reading() as transaction:
                done = [row.run_id for row in transaction.runs() if row.status == "done"]
                run_id = done[0] if done else ""
        assert run_id, "the run did not finish"
    return home, run_id


@contextmanager
def with_people(home: Home, root: Path, **changes: Any) -> Iterator[Site]:
    """Open a site with an account for every role; each has the password `PASSWORD`."""
    with open_site(home, configuration=configuration(root, **changes)) as site:
        add_people(site)
        yield site


def add_people(site: Site) -> None:
    """Add an account for every role, called like it; each has the password `PASSWORD`."""
    with site.database.transaction() as transaction:
        known = {account.account_id for account in transaction.accounts()}
        for person in PEOPLE.values():
            if person.account_id not in known:
                transaction.put_account(
                    Account(person.account_id, person.role, VERIFIER, False, site.now())
                )


@dataclass
class Mailbox:
    """What a recipient of notices got, and how it answers."""

    url: str = ""
    status: int = 200
    got: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def listening() -> Iterator[Mailbox]:
    """Run a web service that takes notices as JSON."""
    mailbox = Mailbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            mailbox.got.append(json.loads(body))
            self.send_response(mailbox.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    mailbox.url = f"http://127.0.0.1:{server.server_address[1]}/"
    try:
        yield mailbox
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()


@contextmanager
def receiving_mail() -> Iterator[tuple[int, list[EmailMessage]]]:
    """Run a mail server (RFC 5321, what a client without extensions says); port and letters."""
    letters: list[EmailMessage] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline():
                word = line[:4].upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = iter(self.rfile.readline, b".\r\n")
                    letter = message_from_bytes(b"".join(lines), policy=policy.default)
                    letters.append(letter)  # type: ignore[arg-type]
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 well\r\n")
                if word == b"QUIT":
                    return

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], letters
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()
