"""A site at the command line: everybody has an account, and every command runs as in a terminal."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from adapters.cli.main import app
from audit.errors import RefusalError

PASSWORD = "a password for tests only"
PEOPLE = {"erin": "engineer", "phil": "physicist", "petra": "physicist", "anna": "approver"}


class Ward:
    """A site at the command line, with a password for everybody."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        once = self._password(self.osteon("init", "--name", "site-a"))
        self._enter("admin", once)
        words = {
            name: self._password(self.osteon("account", "add", name, "--role", role))
            for name, role in PEOPLE.items()
        }
        for name, password in words.items():
            self._enter(name, password)

    def osteon(
        self, *arguments: str, env: dict[str, str] | None = None, code: int = 0, given: str = ""
    ) -> str:
        """Run a command on the site, given this on its standard input; return its output."""
        found = CliRunner().invoke(
            app, [*arguments, "--home", str(self.home)], env=env, input=given or None
        )
        logging.getLogger("dbos").handlers.clear()  # they hold the stream of this command
        if code and isinstance(found.exception, RefusalError):
            return " ".join(found.exception.reasons)
        assert found.exit_code == code, (arguments, found.output, found.exception)
        return found.stdout

    def by(self, person: str) -> None:
        """Let a person sign in."""
        self.osteon("login", person, env={"OSTEON_PASSWORD": PASSWORD})

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Run a command and return what it said."""
        return json.loads(self.osteon(*arguments, "--json", code=code))

    def _enter(self, person: str, once: str) -> None:
        words = {"OSTEON_PASSWORD": once, "OSTEON_NEW_PASSWORD": PASSWORD}
        self.osteon("login", person, env=words)

    def _password(self, said: str) -> str:
        found = re.search(r"password: (\S+)", said)
        assert found is not None, said
        return found.group(1)


def toml_of(plan: dict[str, Any]) -> str:
    """Write a plan of a cohort as TOML: words first, tables after."""
    words = [f"{key} = {json.dumps(v)}" for key, v in plan.items() if not isinstance(v, dict)]
    for key, table in plan.items():
        if isinstance(table, dict):
            words += [f"[{key}]", *(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in table.items())]
    return "\n".join(words)
