"""What persons do with releases: each act with its state and its record in one transaction.

Read `persons.py`, then `acts.py` (one person's acts), `approving.py` (two persons'),
`certifying.py`.
"""
