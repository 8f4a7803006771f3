"""Change control: what a change is, whether a plan foresaw it, and what is left of its budget.

Read first `../change_control.py` (the rule), then `kinds.py`, `detection.py`,
`classification.py`, `plan.py`, `protocol.py`, `budget.py`, `ledger.py`, `gates.py`.
"""
