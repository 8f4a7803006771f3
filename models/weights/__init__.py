"""Committed weights, each stored once under its digest; read `store.py`."""
