"""Monitoring at a site: read in the order `plans.py`, `reading.py`, `running.py`, `alarming.py`."""
