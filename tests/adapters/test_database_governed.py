"""Governed documents: revisions are added, never changed, and each is on record."""

from datetime import timedelta

import pytest

from adapters.database import Database
from audit.errors import RecordError
from tests.simulators.site_database import START as NOW
from tests.simulators.site_database import Recorded


def test_a_changed_document_is_a_new_revision(database: Database) -> None:
    """The newest revision is what counts; the older ones stay as they were."""
    later = NOW + timedelta(hours=1)
    with database.transaction() as transaction:
        assert transaction.governed("overseers", "contouring") is None
        first = transaction.put_governed("overseers", "contouring", {"who": ["a"]}, "anna", NOW)
        second = transaction.put_governed("overseers", "contouring", {"who": []}, "bert", later)
        transaction.put_governed("overseers", "dose", {"who": ["c"]}, "anna", NOW)
        transaction.put_governed("training", "contouring", {"who": ["d"]}, "anna", NOW)
    with database.reading() as transaction:
        assert transaction.governed("overseers", "contouring") == second
        assert transaction.governed_history("overseers", "contouring") == (first, second)
        names = [item.name for item in transaction.governed_all("overseers")]
        assert names == ["contouring", "dose"]
        assert transaction.governed_all("overseers")[0].revision == 2
    assert (first.revision, second.revision) == (1, 2)
    assert first.digest != second.digest


def test_the_same_content_again_adds_nothing(database: Database) -> None:
    """A repeated call returns the revision that is there, whoever calls and in what order."""
    with database.transaction() as transaction:
        first = transaction.put_governed("plan", "x", {"a": 1, "b": [2.5]}, "anna", NOW)
        again = transaction.put_governed(
            "plan", "x", {"b": [2.5], "a": 1}, "bert", NOW + timedelta(days=1)
        )
        assert again == first
        assert transaction.governed_history("plan", "x") == (first,)


def test_content_that_is_not_json_is_refused(database: Database) -> None:
    """What cannot be written canonically is refused, and nothing is kept."""
    with database.transaction() as transaction:
        with pytest.raises(RecordError):
            transaction.put_governed("plan", "x", {"a": float("nan")}, "anna", NOW)
        assert transaction.governed("plan", "x") is None


def test_a_revision_is_recorded_by_its_digest(recorded: Recorded) -> None:
    """The audit log says which document changed to which content, and who did it."""
    with recorded.database.transaction() as transaction:
        document = transaction.put_governed("risk_register", "contouring", {"h": 1}, "anna", NOW)
        recorded.journal.governed(transaction, document)
    recorded.log.seal(recorded.database)
    assert [item.body for item in recorded.records("governed")] == [
        {
            "document": "risk_register",
            "name": "contouring",
            "revision": 1,
            "sha256": document.digest,
        }
    ]
