"""Phantoms: synthetic patients whose geometry is known exactly.

Read next: `limb.py`.
"""
