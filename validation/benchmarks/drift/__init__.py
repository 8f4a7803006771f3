"""Drift detectors beside their peers at the same mean run length; see `__main__.py`."""
