"""Model cards: one source, three exports with the same numbers.

Read first `facts.py`, then `aid_rt.py` (ESTRO), `chai.py` (XML), `readable.py`.
"""
