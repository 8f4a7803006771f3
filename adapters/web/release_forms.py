"""What a form about a release asks for, as an act: the same that a command calls.

Read next: `adapters/governance/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from adapters.governance import recalling, stopping
from adapters.governance.acts import act, waive
from adapters.governance.approving import approve
from adapters.governance.promoting import activate, start_canary, start_shadow
from adapters.governance.rolling_back import Wish, rollback
from adapters.web.access import Session
from audit.errors import ConfigurationError

if TYPE_CHECKING:
    from adapters.compose import Site


@dataclass(frozen=True, slots=True)
class Form:
    """What was sent, by whom, about which release."""

    site: Site
    session: Session
    digest: str
    values: Mapping[str, str]

    def text(self, name: str) -> str:
        """Return a field without the space around it; empty where it was not sent."""
        return self.values.get(name, "").strip()

    def number(self, name: str) -> float:
        """Return a field as a number.

        Raises
        ------
        ConfigurationError : it is none.
        """
        try:
            return float(self.text(name).replace(",", "."))
        except ValueError as error:
            raise ConfigurationError(f"expected a number in the field {name}") from error

    def ticked(self, name: str) -> bool:
        """Return whether a box was ticked."""
        return name in self.values


def release_act(
    site: Site, session: Session, name: str, digest: str, values: Mapping[str, str]
) -> bool:
    """Do what a form on the page of a release asks for; False where no form has that name."""
    found = _ACTS.get(name)
    if found is None:
        return False
    found(Form(site, session, digest, values))
    return True


def stop_act(site: Site, session: Session, name: str, values: Mapping[str, str]) -> bool:
    """Stop a plugin or everything, or lift the stop; False where no form has that name."""
    form = Form(site, session, "", values)
    if name == "stop":
        stopping.stop(site, form.text("scope"), session, form.text("reason"))
    elif name == "lift":
        stopping.lift(site, form.text("scope"), session, form.text("reason"))
    else:
        return False
    return True


def _rollback(form: Form) -> object:
    wish = Wish(
        reason=form.text("reason"),
        to=form.digest,
        suspend=form.ticked("suspend"),
        again=form.ticked("again"),
        mark=form.ticked("mark"),
    )
    return rollback(form.site, form.site.registry.row(form.digest).plugin, form.session, wish)


def _plain(action: str) -> Callable[[Form], object]:
    return lambda form: act(
        form.site, action, form.digest, form.session, {"reason": form.text("reason")}
    )


_ACTS: Mapping[str, Callable[[Form], object]] = {
    "approve": lambda form: approve(form.site, form.digest, form.session, form.text("meaning")),
    "shadow": lambda form: start_shadow(
        form.site, form.digest, form.session, form.text("reason"), form.number("share")
    ),
    "canary": lambda form: start_canary(
        form.site, form.digest, form.session, form.text("reason"), form.number("share")
    ),
    "activate": lambda form: activate(form.site, form.digest, form.session, form.text("reason")),
    "waive": lambda form: waive(
        form.site, form.digest, form.session, form.text("reason"),
        timedelta(days=form.number("days")),
    ),
    "suspend": _plain("suspend"),
    "retire": _plain("retire"),
    "rollback": _rollback,
    "acknowledge": lambda form: recalling.acknowledge(form.site, form.digest, form.session),
    "handle": lambda form: recalling.handle(
        form.site, form.digest, form.text("patient"), form.session, form.text("done")
    ),
}  # fmt: skip
"""What a form may ask for; `access.RELEASE_ACTS` has the roles of each."""
