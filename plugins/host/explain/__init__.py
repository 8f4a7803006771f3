"""Explanations that know no model: a plugin passes its functions in.

`shapley.py` shares one number among input groups, exactly; `attribution.py` maps it to
voxels; `faithfulness.py` measures whether the map tells the truth about the network.
The libraries behind them take seconds to import: a plugin calls `warm` once, in `load`.

Read next: `shapley.py`.
"""


def warm() -> None:
    """Import shap and captum now, so that the first case does not wait for them."""
    from plugins.host.explain import attribution, shapley

    shapley.library()
    attribution.library()
