"""Commissioning of a release for one site: what is checked, and how it is told.

Read first `checks.py`, then `content.py`.
"""
