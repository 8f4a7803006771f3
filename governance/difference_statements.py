"""What the manifests of two releases state differently, area by area.

Each area has one small rule: inputs are compared by role, outputs by kind and name, limits
of the envelope in `difference_envelope.py`, everything else by its path in the manifest.
A key that no rule knows is compared all the same, under ``identity``.

Read next: `difference_envelope.py`, `difference_training.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from governance.difference_envelope import compared_envelope
from governance.difference_values import StatedChange, leaves, listed, same
from governance.release import Release

SBOM = "sbom.json"
CODE, WEIGHTS = "code/", "weights/"
_THRESHOLD_WORDS = ("threshold", "operating", "abstain", "cutoff", "calibration")

Rule = Callable[[Any, Any], Iterator[StatedChange]]


def compared_statements(old: Release, new: Release) -> dict[str, tuple[StatedChange, ...]]:
    """Return the changes of each area of the two manifests, and of the bills of materials."""
    before, after = old.manifest, new.manifest
    areas: dict[str, list[StatedChange]] = {area: [] for _, area, _ in _RULES}
    areas |= {area: [] for area in ("preprocessing", "architecture", "components")}
    for key, area, rule in _RULES:
        areas[area] += _complete(rule, key, before.get(key), after.get(key))
    known = {key for key, _, _ in _RULES} | {"members", "training", "weights", "imported"}
    for key in sorted({*before, *after} - known):
        areas["identity"] += leaves("STATEMENT_CHANGED", key, before.get(key), after.get(key))
    for area, change in _imported(before.get("imported"), after.get("imported")):
        areas[area].append(change)
    areas["identity"] += _order_of_weights(old, new)
    areas["parameters"] += _released_thresholds(old, new)
    if before["members"].get(SBOM) != after["members"].get(SBOM):
        areas["components"] += _components(_bill(old), _bill(new))
    return {area: tuple(changes) for area, changes in areas.items()}


def _complete(rule: Rule, path: str, old: Any, new: Any) -> list[StatedChange]:
    """Return what the rule finds; where it finds nothing in values that differ, the values."""
    if same(old, new):
        return []
    try:
        found = list(rule(old, new))
    except (AttributeError, TypeError, ValueError):  # a manifest of another shape
        found = []
    return found or [StatedChange("STATEMENT_CHANGED", path, old, new)]


def _plain(code: str, path: str) -> Rule:
    def rule(old: Any, new: Any) -> Iterator[StatedChange]:
        return leaves(code, path, old, new)

    return rule


def _by_name(code: str, path: str, *keys: str) -> Rule:
    """Return a rule for a list of mappings whose entries are told apart by ``keys``."""

    def rule(old: Any, new: Any) -> Iterator[StatedChange]:
        before, after = (
            {".".join(str(item.get(key)) for key in keys): item for item in items or ()}
            for items in (old, new)
        )
        count = 0
        for name in sorted({*before, *after}):
            one, other = before.get(name), after.get(name)
            if not same(one, other):
                count += 1
                yield StatedChange(f"{code}_{_word(one, other)}", f"{path}.{name}", one, other)
        if not count:
            yield StatedChange(f"{code}_ORDER_CHANGED", path, old, new)

    return rule


def _word(old: Any, new: Any) -> str:
    if old is None:
        return "ADDED"
    if new is None:
        return "REMOVED"
    return "CHANGED" if old.get("modality") == new.get("modality") else "MODALITY_CHANGED"


def _routing(old: Any, new: Any) -> Iterator[StatedChange]:
    before, after = (
        {json.dumps(rule, sort_keys=True): rule for rule in rules or ()} for rules in (old, new)
    )
    for text in sorted({*before, *after}):
        one, other = before.get(text), after.get(text)
        if one is None:
            yield StatedChange("ROUTING_RULE_ADDED", "routing", None, other)
        elif other is None:
            yield StatedChange("ROUTING_RULE_REMOVED", "routing", one, None)


def _parameters(old: Any, new: Any) -> Iterator[StatedChange]:
    for change in leaves("", "parameters", old or {}, new or {}):
        word = "ADDED" if change.old is None else "REMOVED" if change.new is None else "CHANGED"
        kind = "THRESHOLD" if _is_threshold(change.path) else "PARAMETER"
        yield StatedChange(f"{kind}_{word}", change.path, change.old, change.new)


def _is_threshold(path: str) -> bool:
    return any(word in path.lower() for word in _THRESHOLD_WORDS)


def _runtime(old: Any, new: Any) -> Iterator[StatedChange]:
    before, after = dict(old or {}), dict(new or {})
    first, second = before.pop("pins", None) or {}, after.pop("pins", None) or {}
    for name in sorted({*first, *second}):
        one, other = first.get(name), second.get(name)
        if not same(one, other):
            word = "ADDED" if one is None else "REMOVED" if other is None else "CHANGED"
            yield StatedChange(f"RUNTIME_PIN_{word}", f"runtime.pins.{name}", one, other)
    for change in leaves("RUNTIME_CHANGED", "runtime", before, after):
        code = "RUNTIME_PYTHON_CHANGED" if change.path == "runtime.python" else change.code
        yield StatedChange(code, change.path, change.old, change.new)


_RULES: tuple[tuple[str, str, Rule], ...] = (
    ("schema", "identity", _plain("SCHEMA_CHANGED", "schema")),
    ("plugin", "identity", _plain("PLUGIN_CHANGED", "plugin")),
    ("version", "identity", _plain("VERSION_CHANGED", "version")),
    ("title", "identity", _plain("TITLE_CHANGED", "title")),
    ("built_by", "identity", _plain("BUILDER_CHANGED", "built_by")),
    ("entry_point", "identity", _plain("ENTRY_POINT_CHANGED", "entry_point")),
    ("model_packages", "identity", _plain("MODEL_PACKAGES_CHANGED", "model_packages")),
    ("intended_purpose", "purpose", _plain("PURPOSE_CHANGED", "intended_purpose")),
    ("evidence", "purpose", _plain("EVIDENCE_CHANGED", "evidence")),
    ("inputs", "inputs", _by_name("INPUT", "inputs", "role")),
    ("outputs", "outputs", _by_name("OUTPUT", "outputs", "kind", "name")),
    ("envelope", "envelope", compared_envelope),
    ("routing", "routing", _routing),
    ("parameters", "parameters", _parameters),
    ("operating_points", "parameters", _plain("THRESHOLD_CHANGED", "operating_points")),
    ("thresholds", "parameters", _plain("THRESHOLD_CHANGED", "thresholds")),
    ("limits", "limits", _plain("LIMIT_CHANGED", "limits")),
    ("host_api", "runtime", _plain("HOST_API_CHANGED", "host_api")),
    ("runtime", "runtime", _runtime),
)
"""(key of the manifest, area, rule)."""

_IMPORTED: Mapping[str, tuple[str, str]] = {
    "network": ("architecture", "ARCHITECTURE_CHANGED"),
    "preprocessing": ("preprocessing", "PREPROCESSING_CHANGED"),
    "inference": ("parameters", "INFERENCE_CHANGED"),
    "channels": ("inputs", "INPUT_CODING_CHANGED"),
    "outputs": ("outputs", "OUTPUT_CODING_CHANGED"),
    "explanation": ("parameters", "EXPLANATION_CHANGED"),
}
"""Part of an imported model's description -> (area, code); see models/importers."""


def _imported(old: Any, new: Any) -> Iterator[tuple[str, StatedChange]]:
    """Yield (area, change) of the description that a release of an imported model carries."""
    before = old if isinstance(old, Mapping) else {}
    after = new if isinstance(new, Mapping) else {}
    for key in sorted({*before, *after}):
        area, code = _IMPORTED.get(key, ("identity", "STATEMENT_CHANGED"))
        for change in leaves(code, f"imported.{key}", before.get(key), after.get(key)):
            kind = "THRESHOLD_CHANGED" if _is_threshold(change.path) else change.code
            home = "parameters" if kind == "THRESHOLD_CHANGED" else area
            yield home, StatedChange(kind, change.path, change.old, change.new)
    if not before and not after and not same(old, new):
        yield "identity", StatedChange("STATEMENT_CHANGED", "imported", old, new)


def _order_of_weights(old: Release, new: Release) -> Iterator[StatedChange]:
    """Yield one change where the same weight files are listed otherwise."""
    before, after = old.manifest.get("weights"), new.manifest.get("weights")
    files = [{n for n in release.members if n.startswith(WEIGHTS)} for release in (old, new)]
    if not same(before, after) and files[0] == files[1]:
        yield StatedChange("WEIGHTS_ORDER_CHANGED", "weights", before, after)


def _released_thresholds(old: Release, new: Release) -> Iterator[StatedChange]:
    """Yield the thresholds that differ in JSON files beside the code."""
    before, after = old.manifest["members"], new.manifest["members"]
    for name in sorted({*before} & {*after}):
        if name.startswith(CODE) and name.endswith(".json") and before[name] != after[name]:
            values = _json(old.member(name)), _json(new.member(name))
            for change in leaves("THRESHOLD_CHANGED", name, *values):
                if _is_threshold(change.path):
                    yield change


def _components(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[StatedChange]:
    for name in sorted({*old, *new}):
        one, other = old.get(name), new.get(name)
        if not same(one, other):
            word = "ADDED" if one is None else "REMOVED" if other is None else "CHANGED"
            yield StatedChange(f"COMPONENT_{word}", f"{SBOM}:{name}", one, other)


def _bill(release: Release) -> dict[str, Any]:
    """Return type/name -> version of every component of the bill of materials."""
    if SBOM not in release.manifest["members"]:
        return {}
    document = _json(release.member(SBOM))
    rows = document.get("components") if isinstance(document, Mapping) else None
    return {
        f"{row.get('type')}/{row.get('name')}": row.get("version", "unknown")
        for row in listed(rows)
        if isinstance(row, Mapping)
    }


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
