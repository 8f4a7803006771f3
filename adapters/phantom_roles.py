"""Which releases the geometry test can be made with, and which series each of their roles gets.

The phantom has one CT, one PET and one MR.  A release is tried when it outlines a lesion and the
phantom can give every series that it has to have; what it may have besides is given as well.

Read next: `release_geometry.py`.
"""

from __future__ import annotations

from plugins.host.manifest import Manifest

LESION = "86049000"
"""SNOMED CT: neoplasm, primary; what the phantom has one of."""
MODALITIES = ("CT", "PT", "MR")
"""What the phantom can give, one series each."""


def phantom_roles(manifest: Manifest) -> dict[str, str]:
    """Return role -> modality of what the phantom gives a release; empty where it cannot.

    Two required roles of one modality (T1 and T2, say), a modality that the phantom lacks, or
    another plugin's results are more than it has.
    """
    roles: dict[str, str] = {}
    for item in sorted(manifest.inputs, key=lambda one: not one.required):
        lacks = item.modality not in MODALITIES or item.from_plugin is not None
        if lacks or item.modality in roles.values():
            if item.required:
                return {}
            continue
        roles[item.role] = item.modality
    return roles


def outlines_the_phantom(manifest: Manifest) -> bool:
    """Return whether a release outlines a lesion on what the phantom can give."""
    lesion = any(o.kind == "Segmentation" and o.code_value == LESION for o in manifest.outputs)
    return lesion and bool(phantom_roles(manifest))
