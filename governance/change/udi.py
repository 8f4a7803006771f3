"""What a change does to the UDI: a new device identifier, a new production identifier, none.

Source: REGULATORY.md row MDR-UDI and last column of section 4; Regulation (EU) 2017/745
Annex VI Part C 6.5.2 (new or modified algorithms, architecture, platform, interface: new
UDI-DI) and 6.5.3 (minor revisions: UDI-PI).

Read next: `classification.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from governance.change.kinds import DI, DI_BY_POLICY, EARLIER, KINDS, NONE, PI
from governance.change.plan import ChangePlan
from governance.change_control import Reason

_ORDER = (NONE, PI, DI)


def udi_effect(kinds: Collection[str], change_class: str, plan: ChangePlan | None) -> str:
    """Return the effect of all kinds together, the strongest: none, PI, DI, or earlier.

    Without any kind (names alone changed) it is a new production identifier; a new
    conformity assessment always means a new device identifier.
    """
    if "rollback" in kinds and change_class == "D0":
        return EARLIER
    if change_class == "D3":
        return DI
    found = [_of(name, change_class, plan) for name in kinds] or [PI]
    return max(found, key=_ORDER.index)


def _of(name: str, change_class: str, plan: ChangePlan | None) -> str:
    kind = KINDS[name]
    effect = kind.udi
    if kind.udi_with_effect is not None and change_class in ("D2", "D3"):
        effect = kind.udi_with_effect
    if effect == EARLIER:
        return DI  # a rollback that was not to a valid certified version
    if effect == DI_BY_POLICY:
        return plan.udi_in_plan if plan is not None and change_class == "D1" else DI
    return effect


def udi_faults(old: Mapping[str, Any], new: Mapping[str, Any], effect: str) -> tuple[Reason, ...]:
    """Return what is wrong with the UDI that the new manifest states, as ``udi {di, pi}``.

    Releases without a UDI (research) have no fault; whether one is needed is decided
    elsewhere.
    """
    before, after = _stated(old), _stated(new)
    if not before and not after:
        return ()
    if not after.get("di") or not after.get("pi"):
        return (Reason("UDI_MISSING", "expected udi.di and udi.pi in the new release"),)
    found = []
    if effect == DI and before.get("di") == after["di"]:
        found.append(Reason("UDI_DI_UNCHANGED", "this change needs a new UDI-DI"))
    if effect == PI and before.get("di") == after["di"] and before.get("pi") == after["pi"]:
        found.append(Reason("UDI_PI_UNCHANGED", "this change needs a new UDI-PI"))
    return tuple(found)


def _stated(manifest: Mapping[str, Any]) -> dict[str, Any]:
    found = manifest.get("udi")
    return dict(found) if isinstance(found, Mapping) else {}
