"""The technical file at a site: its sources, what persons record, and the files that are built.

Read first `site_sources.py`, then `acts.py` (what persons do), `documents.py` (which files),
`build.py`, `junit.py`, `demonstration.py`.
"""
