"""Seed points that somebody left for a refused study: in the archive, or on a FHIR server.

Read next: `points.py`, `in_dicom.py`, `in_fhir.py`, then `finder.py`.
"""
