"""Gates: every objection is heard, none is lost, and no objection lets pass."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from audit.errors import RefusalError
from governance.gates import Gate, Objection, Passage, objections, require_passage
from governance.ports import GovernedDocument, GovernedStore

NOW = datetime(2026, 11, 25, tzinfo=UTC)
PASSAGE = Passage(
    "site", "clinical", "contouring", "sha256:1", {}, "canary", "active", "anna", "approver", NOW
)


class Empty:
    """A site without any governed document."""

    def governed(self, kind: str, name: str) -> GovernedDocument | None:
        return None

    def governed_all(self, kind: str) -> tuple[GovernedDocument, ...]:
        return ()

    def governed_history(self, kind: str, name: str) -> tuple[GovernedDocument, ...]:
        return ()

    def put_governed(
        self, kind: str, name: str, content: Mapping[str, Any], person: str, at: datetime
    ) -> GovernedDocument:
        raise AssertionError("a gate only reads")


def _needs(kind: str) -> Gate:
    def gate(passage: Passage, documents: GovernedStore) -> tuple[Objection, ...]:
        if documents.governed(kind, passage.plugin) is not None:
            return ()
        return (Objection(f"NO_{kind.upper()}", f"expected a {kind}, found none", "Make one."),)

    return gate


def test_every_objection_is_heard() -> None:
    """All gates are asked, so that a person sees every reason at once, in order."""
    gates = (_needs("classification"), _needs("overseers"))
    found = objections(gates, PASSAGE, Empty())
    assert [item.code for item in found] == ["NO_CLASSIFICATION", "NO_OVERSEERS"]
    with pytest.raises(RefusalError) as refused:
        require_passage(gates, PASSAGE, Empty())
    assert refused.value.reasons == ("NO_CLASSIFICATION", "NO_OVERSEERS")
    assert refused.value.advice == "Make one."


def test_without_objection_the_passage_goes_on() -> None:
    """No gate, or none that objects: nothing is raised."""
    require_passage((), PASSAGE, Empty())
    require_passage((lambda _passage, _documents: (),), PASSAGE, Empty())
