"""The numerics of radiotherapy beside those of others; read `numerics.py`."""
