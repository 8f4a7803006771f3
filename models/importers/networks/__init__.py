"""Networks of imported models: rebuilt from a plan, or run from a file.

Read next: `runner.py`.
"""
