"""What the metrics must give where the answer is exact; read `pack.py`."""
