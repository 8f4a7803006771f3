"""Sealed documents: what was sealed opens as the same, and nothing else opens."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import SignatureError
from governance.sealed import SIGNATURE, open_sealed, seal, sealed_at
from tests.simulators.papers import NOW, OTHER_SEALER, SEALER, TRUST

VALUES = st.dictionaries(
    st.text("abc", min_size=1, max_size=3),
    st.one_of(st.text(max_size=20), st.integers(-1000, 1000), st.booleans(), st.none()),
    max_size=4,
)


@given(VALUES)
def test_sealed_opens_as_the_same(content: dict[str, Any]) -> None:
    """Sealing and opening are inverses, and the time of sealing is told."""
    document = seal(content, SEALER, NOW)
    assert open_sealed(document, TRUST) == content
    assert sealed_at(document) == NOW.isoformat()
    assert seal(document, SEALER, NOW) == document


@given(VALUES, st.text("abc", min_size=1, max_size=3), st.text(max_size=5))
def test_a_changed_document_does_not_open(content: dict[str, Any], key: str, value: str) -> None:
    """One value changed, added or taken away, and the seal no longer fits."""
    document = seal(content, SEALER, NOW)
    if document.get(key, ...) != value and key != SIGNATURE:
        with pytest.raises(SignatureError):
            open_sealed(document | {key: value}, TRUST)
    for name in content:
        with pytest.raises(SignatureError):
            open_sealed({k: v for k, v in document.items() if k != name}, TRUST)


def test_only_a_trusted_key_of_the_purpose_counts() -> None:
    """Another key under the same name, a revoked one, another purpose, no seal: refused."""
    document = seal({"a": 1}, SEALER, NOW)
    forged = seal({"a": 1}, OTHER_SEALER, NOW)
    revoked = (replace(TRUST[0], revoked_at=NOW),)
    purpose = (replace(TRUST[0], purpose="release"),)
    for found, trust in ((forged, TRUST), (document, revoked), (document, purpose), (document, ())):
        with pytest.raises(SignatureError):
            open_sealed(found, trust)
    for unsealed in ({"a": 1}, {"a": 1, SIGNATURE: "x"}, {"a": 1, SIGNATURE: {}}):
        with pytest.raises(SignatureError):
            open_sealed(unsealed, TRUST)
    assert "SEALER" not in repr(SEALER)
    assert repr(SEALER) == "Sealer(report-test)"
