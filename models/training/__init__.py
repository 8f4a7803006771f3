"""Recipes that made the committed weights, each re-runnable with `python -m`."""
