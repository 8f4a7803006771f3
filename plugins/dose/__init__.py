"""Predict the dose of a head-and-neck plan before it is planned.

Read `plugin.py` first. What it needs as input: `words.py` (what a structure's name may say),
`names.py` (what it is by its name alone), `structures.py` (a whole structure set),
`laterality.py`, `targets.py` and `prescription.py` (which target gets which dose), `grids.py`.
What it tells: `regions.py`, `goals.py`, `statistics.py`.
"""
