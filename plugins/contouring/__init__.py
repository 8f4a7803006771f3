"""Contour the gross tumour volume of a sarcoma of limb or pelvis on CT, with PET where given.

Read `plugin.py` (the manifest and the two methods), `orientation.py`, `explain.py`, and
`card.md` for what it was trained on and how well it does.
"""
