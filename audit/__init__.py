"""The ground: the append-only record of everything, its proofs, and the words for errors.

Read `errors.py`, `record.py`, then `log.py`, which shows how a record becomes a leaf of
the tree, and `verify.py`, which shows how an outsider checks it.
"""
