"""Gates: what may stand in the way of a change of state, each a pure rule of its own.

A gate looks at a `Passage` (which release is to go from which state to which, at which site
and mode, by whom, when) and at the governed documents of the site, and returns the reasons
why not; none means that it has no objection.  Many gates listen; all of them are asked, so
that a person sees every reason at once.  The list of gates is put together in one place,
`adapters/compose.py`.

Read next: `lifecycle.py`, which asks them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from audit.errors import RefusalError
from governance.ports import GovernedStore


@dataclass(frozen=True, slots=True)
class Passage:
    """One release on its way from a state to another.

    Parameters
    ----------
    manifest : the decoded manifest.json of the release.
    mode : research | clinical; most gates speak in clinical mode alone.
    evidence : what the person brings: reasons, digests.
    decided_at : aware UTC.
    predecessors : digests of other releases of the plugin that were active at the site.
    """

    site: str
    mode: str
    plugin: str
    release_digest: str
    manifest: Mapping[str, Any]
    before: str
    after: str
    person: str
    role: str
    decided_at: datetime
    evidence: Mapping[str, str] = field(default_factory=dict)
    predecessors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Objection:
    """One reason why a passage is refused.

    Parameters
    ----------
    code : stable, upper case, e.g. ``CERTIFICATE_EXPIRED``.
    text : one sentence: what was expected, what was found.
    advice : what the operator can do about it.
    """

    code: str
    text: str
    advice: str


class Gate(Protocol):
    """A rule that may object to a passage."""

    def __call__(self, passage: Passage, documents: GovernedStore) -> tuple[Objection, ...]:
        """Return the objections, none where the passage may go on."""
        ...


def objections(
    gates: Sequence[Gate], passage: Passage, documents: GovernedStore
) -> tuple[Objection, ...]:
    """Return what all gates object, in their order."""
    return tuple(item for gate in gates for item in gate(passage, documents))


def require_passage(gates: Sequence[Gate], passage: Passage, documents: GovernedStore) -> None:
    """Return when no gate objects; raise RefusalError with every reason if one does."""
    found = objections(gates, passage, documents)
    if found:
        raise RefusalError(
            f"{passage.before} to {passage.after} is refused: "
            + "; ".join(item.text for item in found),
            reasons=tuple(item.code for item in found),
            advice=" ".join(dict.fromkeys(item.advice for item in found)),
        )
