"""Every component of a release has a licence, and a supplier or the mark of open source."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.components import (
    OPEN_SOURCE_MARK,
    ComponentsGate,
    UnknownComponent,
    is_open_source,
    unknown_components,
)
from governance.gates import Passage

MARK = [{"name": OPEN_SOURCE_MARK, "value": "true"}]
BILL: dict[str, Any] = {
    "metadata": {
        "component": {
            "type": "application", "name": "knee", "version": "1.0.0",
            "licenses": [{"expression": "Apache-2.0"}], "properties": MARK,
        }
    },
    "components": [
        {
            "type": "machine-learning-model", "name": "knee-model", "version": "1.0.0",
            "licenses": [{"license": {"name": "By contract"}}], "supplier": {"name": "Firm"},
        },
        {
            "type": "library", "name": "numpy", "version": "2.4.6",
            "licenses": [{"license": {"id": "BSD-3-Clause"}}], "properties": MARK,
        },
    ],
}  # fmt: skip


@pytest.mark.reg("AIA-25.4")
def test_a_bill_of_known_components_has_no_unknown() -> None:
    """A licence and a supplier, or a licence and the mark, is all that is asked."""
    assert unknown_components(BILL) == ()


@pytest.mark.reg("AIA-25.4")
@pytest.mark.parametrize(
    ("index", "key", "value", "missing"),
    [
        (0, "supplier", None, ("supplier",)),
        (0, "supplier", {"name": "unknown"}, ("supplier",)),
        (0, "supplier", {"name": " "}, ("supplier",)),
        (0, "licenses", None, ("licence",)),
        (0, "licenses", [], ("licence",)),
        (0, "licenses", [{"license": {"name": "NOASSERTION"}}], ("licence",)),
        (1, "properties", None, ("supplier",)),
        (1, "properties", [{"name": OPEN_SOURCE_MARK, "value": "false"}], ("supplier",)),
        (1, "licenses", [{"expression": "unknown"}], ("licence",)),
        (1, "licenses", "MIT", ("licence",)),
    ],
)
def test_what_is_not_known_is_named(
    index: int, key: str, value: Any, missing: tuple[str, ...]
) -> None:
    """A component without supplier or licence is named with what it lacks, the others are not."""
    bill = copy.deepcopy(BILL)
    item = bill["components"][index]
    item[key] = value
    expected = UnknownComponent(item["name"], item["version"], item["type"], missing)
    assert unknown_components(bill) == (expected,)


def test_the_product_counts_too() -> None:
    """A plugin of nobody, under no licence, is an unknown component itself."""
    bill = copy.deepcopy(BILL)
    bill["metadata"]["component"] = {"type": "application", "name": "knee", "version": "1.0.0"}
    (found,) = unknown_components(bill)
    assert (found.name, found.missing) == ("knee", ("licence", "supplier"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["components", "licenses", "license", "supplier", "name", "properties"]
                ),
                inner,
                max_size=3,
            )
        ),
        max_leaves=8,
    )
)
def test_a_strange_bill_knows_nothing(value: Any) -> None:
    """Whatever stands in place of a bill, it is never taken for one that knows everything."""
    bill = value if isinstance(value, dict) else {"components": value}
    if not isinstance(bill.get("components"), list) or not any(
        isinstance(item, dict) for item in bill["components"]
    ):
        assert [item.type for item in unknown_components(bill)] == ["bill"]
    else:
        unknown_components(bill)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("Apache-2.0 AND (BSD-3-Clause OR MIT)", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("LicenseRef-Proprietary", False),
        ("MIT AND LicenseRef-Proprietary", False),
        ("", False),
        ("AND", False),
        ("CC-BY-NC-4.0", False),
    ],
)
def test_open_source_is_read_from_the_expression(expression: str, expected: bool) -> None:
    """Every licence that an expression names has to be an open-source one."""
    assert is_open_source(expression) is expected


def passage(mode: str = "clinical", after: str = "active") -> Passage:
    """Return a release on its way into use."""
    now = datetime(2026, 11, 25, tzinfo=UTC)
    return Passage(
        "ward", mode, "knee", "sha256:" + "0" * 64, {}, "approved", after, "anna", "approver", now
    )


class NoDocuments:
    """A site without governed documents; the gate asks for none."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"asked for {name}")


@pytest.mark.reg("AIA-25.4")
def test_the_gate_blocks_unknown_components_in_clinical_mode() -> None:
    """An unknown component, or no bill at all, stands in the way of clinical use alone."""
    unknown = copy.deepcopy(BILL)
    del unknown["components"][0]["supplier"]
    documents: Any = NoDocuments()
    digest = passage().release_digest
    assert ComponentsGate({digest: BILL}.get)(passage(), documents) == ()
    for bill in (unknown, None):
        gate = ComponentsGate({digest: bill}.get)
        (objection,) = gate(passage(), documents)
        assert objection.code == "COMPONENT_UNKNOWN"
        assert gate(passage(mode="research"), documents) == ()
        assert gate(passage(after="suspended"), documents) == ()
    found = ComponentsGate({digest: unknown}.get)(passage(), documents)
    assert "knee-model (supplier)" in found[0].text
