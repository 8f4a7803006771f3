"""Radiotherapy and image objects: reading DICOM into typed values, writing results.

Reading follows PS3.3 (information objects), PS3.5 (encoding) and PS3.10 (files).

Read next: `README.md`, then `read_series.py`.
"""
