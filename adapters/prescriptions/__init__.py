"""Prescriptions that a study needs: in a plan, an intent, an order, or the site's protocol.

Read next: `statements.py` (what a source says, and which one counts), `in_plan.py`,
`in_intent.py`, `in_fhir.py`, `protocols.py`, then `finder.py`.
"""
