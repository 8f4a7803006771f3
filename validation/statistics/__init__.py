"""Intervals, error budgets and sizes that criteria and reports share; read `resampling.py`."""
