"""Cohorts: the cases that a release is judged on, what they stand for, and who may see them.

Read next: `manifest.py`.
"""
