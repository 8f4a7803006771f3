"""Radiotherapy numerics on plain arrays; read `README.md` first."""
