"""What of the harness's figures a report tells, in its order; words are those of the registry.

Read next: `summary.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from validation.metrics.registry import METRICS
from validation.metrics.terms import Metric

SHOWN = (
    *("dsc", "nsd_3mm", "hd95_mm", "assd_mm", "added_path_length_mm", "volume_ml", "reference_ml"),
    *("volume_error_ml", "absolute_volume_error_percent", "centroid_error_frame_voxels"),
    *("centroid_error_row_voxels", "centroid_error_column_voxels"),
    *("dose_score_gy", "dvh_error_gy", "dvh_covered_share"),
)
STATED = Metric(
    "uncertainty_score", "Stated expectation", "", "none",
    "what the plugin foretold of its own answer", "host protocol",
)  # fmt: skip
MEASURED: Mapping[str, Metric] = {
    **{name: METRICS[name] for name in SHOWN},
    STATED.name: STATED,
}
