"""Keeping the log and letting go of it: purge, erasure, exports, backup and restore.

Each act is on record, and none breaks a proof.

Read next: `purging.py`.
"""
