"""The office: releases, who may make one active, and what follows from it.

Read `release.py` (one immutable bundle named by its digest), `signing.py`, then
`lifecycle.py` (the table of permitted transitions).
"""
