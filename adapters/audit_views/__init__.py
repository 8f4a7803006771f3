"""Views of audit records for other systems: FHIR AuditEvent and DICOM PS3.15 A.5 messages.

The record is what counts; a view is made from it, carries its leaf hash and its place in the
tree, and says less.  A record becomes a `Message` (`message.py`), and a message becomes either
format (`fhir_event.py`, `dicom_message.py`), each with its inverse.

Read next: `message.py`.
"""
