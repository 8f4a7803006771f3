"""Acceptance criteria: stated as values, fixed before the first result, judged by rule.

Read next: `document.py`.
"""
