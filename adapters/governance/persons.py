"""Who decides, as every act takes it.

Read next: `acts.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from governance.deployment import Decision

if TYPE_CHECKING:
    from adapters.compose import Site


class Person(Protocol):
    """Who decides, in which role; a session fulfils it."""

    @property
    def account_id(self) -> str:
        """Account id, as it stands in the record."""
        ...

    @property
    def role(self) -> str:
        """Role in which the person decides."""
        ...


@dataclass(frozen=True, slots=True)
class Somebody:
    """A person or service by name and role."""

    account_id: str
    role: str


DEMONSTRATOR = Somebody("demonstration", "approver")
"""Decides in `osteon demo`, where nobody is signed in."""
GUARDIAN = Somebody("service:governance", "service")
"""Acts by a rule of the site: suspends, never activates."""


def decision_of(site: Site, person: Person) -> Decision:
    """Return a person's decision at this site, now."""
    section = site.configuration.site
    return Decision(section.name, section.mode, person.account_id, person.role, site.now())
