"""The shipped risk register: every pointer leads to code, a test, a section, a source."""

from __future__ import annotations

import ast
import json
from functools import cache
from pathlib import Path

import pytest

from governance.instructions import SECTIONS
from governance.risk import UNACCEPTABLE, at_least_serious, read_register
from governance.technical_file.sources import CARD, CRITERIA
from plugins.contouring.plugin import MANIFEST

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = json.loads((ROOT / "plugins/contouring/risk_register.json").read_text("utf-8"))
REGISTER = read_register(DOCUMENT)
CONTROLS = [control for hazard in REGISTER.hazards for control in hazard.controls]


@cache
def _names(path: Path) -> frozenset[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, kinds))


def _leads_somewhere(pointer: str) -> bool:
    path, _, name = pointer.partition("::")
    return (ROOT / path).is_file() and name in _names(ROOT / path)


@pytest.mark.reg("AIA-9.5")
@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.control_id)
def test_every_pointer_leads_somewhere(control: object) -> None:
    """Code and tests of each control exist under their names, and so does its section."""
    pointers = (*control.code, *control.tests)  # type: ignore[attr-defined]
    assert [pointer for pointer in pointers if not _leads_somewhere(pointer)] == []
    assert all(test.startswith("tests/") for test in control.tests)  # type: ignore[attr-defined]
    if control.kind == "inform":  # type: ignore[attr-defined]
        assert control.ifu in SECTIONS  # type: ignore[attr-defined]


def test_a_pointer_to_nowhere_is_found() -> None:
    """The check of pointers can fail: a file, a name, and a file without the name."""
    assert not _leads_somewhere("plugins/contouring/nowhere.py::x")
    assert not _leads_somewhere("plugins/contouring/plugin.py::nowhere")
    assert not _leads_somewhere("plugins/contouring/plugin.py")


@pytest.mark.reg("AIA-9.1")
def test_every_hazard_is_controlled_and_none_is_left_unacceptable() -> None:
    """Each hazard has a control, each serious one is not left to information alone."""
    assert REGISTER.plugin == MANIFEST.plugin
    for hazard in REGISTER.hazards:
        kinds = {control.kind for control in hazard.controls}
        assert kinds, hazard.hazard_id
        assert hazard.risk_after != UNACCEPTABLE, hazard.hazard_id
        if at_least_serious(hazard.severity):
            assert kinds & {"design", "protect"}, hazard.hazard_id


def test_effects_name_sources_of_the_technical_file() -> None:
    """What shows that controls work is something that a site can record."""
    known = {"accuracy", "verification", CARD, CRITERIA}
    named = {name for hazard in REGISTER.hazards for name in hazard.effect}
    assert named <= known


def test_the_register_states_no_figure_of_one_release() -> None:
    """Figures belong to the accuracy of a release; a register that quoted them would grow old."""
    text = json.dumps(DOCUMENT)
    assert "0.8" not in text
    assert "DSC of 0" not in text
