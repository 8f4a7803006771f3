"""The technical file of a release: one file for the AI Act and the MDR, two indexes, one bundle.

Read first `fields.py` (what Annex IV asks for), then `sources.py` (what there is),
`contents.py` (how the one becomes the other), `file.py`, `indexes.py`, `bundle.py`, `gates.py`.
"""
