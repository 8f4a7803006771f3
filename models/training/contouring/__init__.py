"""The recipe of the contouring ensemble: five folds over the 34 patients of `sts51`.

Run `python -m models.training.contouring train|evaluate|card`. Read in this order: `recipe.py`,
`cases.py`, `sampling.py`, `train.py`, `metrics.py`, `evaluate.py`, `calibrate.py`.
"""
