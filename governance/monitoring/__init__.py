"""Post-market monitoring: tests that may be looked at after every case, with a stated run length.

Read in this order: `README.md`, `sums.py` (the one theorem), then one detector a file.
"""
