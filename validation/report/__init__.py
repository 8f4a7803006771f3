"""The validation report: what a run of the harness shows, as values, as a document, as a verdict.

Read in this order: `summary.py` (what stands inside the digest), `document.py` (``report.json``),
`content.py` (the readable report), `checklists.py`, `issuing.py` (the certificate).
"""
