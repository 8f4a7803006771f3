"""Models from elsewhere as plugins: one package, as many releases as there are models.

Read next: `plugin.py`.
"""
