"""The harness: a release through the clinic's own steps on a cohort, against fixed criteria.

Read `results.py` (what a run of the harness yields), then the run itself.
"""
