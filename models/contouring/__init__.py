"""Tumour contouring as plain arrays: inputs, ensemble, postprocessing, uncertainty.

Read in this order: `contour.py` (the path), `inputs.py`, `field.py`, `ensemble.py`,
`postprocess.py`, `uncertainty.py`.
"""
