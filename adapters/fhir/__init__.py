"""FHIR R4: one transaction bundle per run, and the door to a FHIR server.

Follows HL7 FHIR R4 (4.0.1); payloads are built and checked with ``fhir.resources`` R4B
models.  Nothing here is imported by `osteon --help`.

Read next: `identity.py`, then `bundle.py`, then `client.py`.
"""
