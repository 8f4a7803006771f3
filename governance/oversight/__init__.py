"""Human oversight: what people do with results, how often, and whether they still look.

Read first: `assessment.py`, then `comparison.py`, `rates.py`, `bias.py`, `reviewers.py`.
"""
