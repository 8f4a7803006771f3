"""Make a release from a model that was trained elsewhere.

Read next: `build.py`.
"""
