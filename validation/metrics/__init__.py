"""What is measured of an answer, each metric under one name and definition; read `registry.py`."""
