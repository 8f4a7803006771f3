"""Margins and intervals whose coverage is guaranteed and shown; read `margins.py`."""
