"""Convolutional encoder-decoder networks; read `network.py`."""
