"""The risk register of the dose plugin: pointers lead somewhere, no hazard is left unacceptable."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from governance.instructions import SECTIONS
from governance.risk import UNACCEPTABLE, at_least_serious, read_register
from plugins.dose.plugin import MANIFEST

ROOT = Path(__file__).resolve().parents[2]
REGISTER = read_register(json.loads((ROOT / "plugins/dose/risk_register.json").read_text("utf-8")))


def leads_somewhere(pointer: str) -> bool:
    """Return whether a file has the function or class that a pointer names."""
    path, _, name = pointer.partition("::")
    if not (ROOT / path).is_file():
        return False
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return name in {getattr(node, "name", "") for node in tree.body}


@pytest.mark.reg("AIA-9.5")
def test_every_control_exists_in_code_and_tests():
    """Code and tests of each control exist under their names, and so does its section."""
    for hazard in REGISTER.hazards:
        for control in hazard.controls:
            wrong = [p for p in (*control.code, *control.tests) if not leads_somewhere(p)]
            assert wrong == [], control.control_id
            assert control.kind != "inform" or control.ifu in SECTIONS
    assert not leads_somewhere("plugins/dose/plugin.py::nowhere")


@pytest.mark.reg("AIA-9.1")
def test_no_hazard_is_left_unacceptable_or_to_information_alone():
    """Each hazard has controls; each serious one is designed out or protected against."""
    assert REGISTER.plugin == MANIFEST.plugin
    for hazard in REGISTER.hazards:
        kinds = {control.kind for control in hazard.controls}
        assert hazard.risk_after != UNACCEPTABLE, hazard.hazard_id
        assert not at_least_serious(hazard.severity) or kinds & {"design", "protect"}
