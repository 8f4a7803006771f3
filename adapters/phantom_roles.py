"""Which releases the geometry test can be made with, and which series each of their roles gets.

The phantom has one CT, one PET and two MR: T1 after contrast, and T2.  A release is tried when it
outlines a lesion and the phantom can give every series that it has to have; what it may have
besides is given as well.  Which MR a role gets is decided as for a study, by the release's own
routing rules.

Read next: `release_geometry.py`, `rt/phantom_sequences.py`.
"""

from __future__ import annotations

from itertools import permutations

from adapters.rt.phantom_sequences import SEQUENCES
from plugins.host.manifest import Input, Manifest
from plugins.host.routing import fulfils

LESION = "86049000"
"""SNOMED CT: neoplasm, primary; what the phantom has one of."""
SERIES = {"CT": ("CT",), "PT": ("PT",), "MR": tuple(SEQUENCES)}
"""Modality -> the series that the phantom can give of it, by key."""


def phantom_roles(manifest: Manifest) -> dict[str, str]:
    """Return role -> key of the series that the phantom gives a release; empty where it cannot.

    More required roles of one modality than the phantom has series (two CT, three MR), a
    modality that it lacks, or another plugin's results are more than it has.  Where rules do
    not tell the series of a modality apart, roles get them in the order in which they are
    declared, those that are required first; a series fills one role.
    """
    roles: dict[str, str] = {}
    wanted = sorted(manifest.inputs, key=lambda one: not one.required)
    for item in wanted:
        if item.required and (item.modality not in SERIES or item.from_plugin is not None):
            return {}
    for modality, series in SERIES.items():
        same = [i for i in wanted if i.modality == modality and i.from_plugin is None]
        if sum(item.required for item in same) > len(series):
            return {}
        roles |= _told_apart(manifest, same[: len(series)], series)
    return {item.role: roles[item.role] for item in wanted if item.role in roles}


def outlines_the_phantom(manifest: Manifest) -> bool:
    """Return whether a release outlines a lesion on what the phantom can give."""
    lesion = any(o.kind == "Segmentation" and o.code_value == LESION for o in manifest.outputs)
    return lesion and bool(phantom_roles(manifest))


def _told_apart(manifest: Manifest, inputs: list[Input], series: tuple[str, ...]) -> dict[str, str]:
    """Return role -> series, as many roles as possible with a series that their rules admit."""

    def admitted(chosen: tuple[str, ...]) -> int:
        pairs = zip(inputs, chosen, strict=True)
        return sum(_admits(manifest, item, key) for item, key in pairs)

    best = max(permutations(series, len(inputs)), key=admitted)  # the first of equals
    return {item.role: key for item, key in zip(inputs, best, strict=True)}


def _admits(manifest: Manifest, item: Input, series: str) -> bool:
    """Return whether no rule about an MR sequence keeps a series from a role."""
    tags = SEQUENCES.get(series, {})
    known = {keyword for each in SEQUENCES.values() for keyword in each}
    return all(
        fulfils(rule, tags)
        for rule in manifest.routing
        if rule.applies_to == item.role and rule.keyword in known
    )
