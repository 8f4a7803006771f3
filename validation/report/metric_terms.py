"""Names in print of what the harness measures of a contour.

Read next: `summary.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MetricName:
    """Title, unit (UCUM) and whether more is better: ``higher`` or ``lower``."""

    title: str
    unit: str = ""
    better: str = "higher"


MEASURED: Mapping[str, MetricName] = {
    "dsc": MetricName("DSC"),
    "nsd_3mm": MetricName("Surface DSC, 3 mm"),
    "hd95_mm": MetricName("HD95", "mm", "lower"),
    "assd_mm": MetricName("ASSD", "mm", "lower"),
    "added_path_length_mm": MetricName("Added path length", "mm", "lower"),
    "volume_ml": MetricName("Volume", "ml"),
    "reference_ml": MetricName("Reference volume", "ml"),
    "volume_error_ml": MetricName("Volume error", "ml", "lower"),
    "absolute_volume_error_percent": MetricName("Absolute volume error", "%", "lower"),
    "centroid_error_frame_voxels": MetricName("Centroid error, frames", "voxel", "lower"),
    "centroid_error_row_voxels": MetricName("Centroid error, rows", "voxel", "lower"),
    "centroid_error_column_voxels": MetricName("Centroid error, columns", "voxel", "lower"),
    "uncertainty_score": MetricName("Stated expectation"),
}
