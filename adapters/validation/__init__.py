"""Validation on this site: the harness on the work engine, its files and its records.

Read `running.py`, then `queue.py`.
"""
