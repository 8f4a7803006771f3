"""Documents: what a run leaves behind, composed into files and pictures.

Read next: `composer.py` (all objects of a run), `pictures.py` (the overview picture).
"""
