"""Incidents of a site: what persons do about one, evidence, notices, what is shown.

Read `acts.py`, then `snapshot.py`.
"""
