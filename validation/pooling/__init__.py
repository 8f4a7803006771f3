"""Evaluation with peers: each site measures at home, and only aggregates meet.

Read in this order: `effects.py` (random-effects analysis), `disclosure.py` (which numbers may
leave), `aggregate.py` (what a site gives away), `pooled.py` (several of them together), `page.py`.
"""
