"""Label a CT with as few windows and as little resampling as it needs; read `label.py`."""
