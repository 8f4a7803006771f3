"""What a search tells about a study before anything is fetched.

Routing, readiness and the run id are decided from these facts alone.

Read next: `routing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """One series as the PACS describes it.

    Parameters
    ----------
    sop_instance_uids : what is there now, sorted.
    expected_count : how many instances the sender announced, if anyone said so.
    tags : DICOM keyword -> value as text (multi-valued joined by a backslash).
    """

    series_instance_uid: str
    modality: str
    sop_instance_uids: tuple[str, ...]
    expected_count: int | None = None
    frame_of_reference_uid: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def image_count(self) -> int:
        """Return how many images it holds: its instances, or the frames of multi-frame ones."""
        frames = self.tags.get("NumberOfFrames", "").split("\\")[0].strip()
        return len(self.sop_instance_uids) * max(1, int(frames) if frames.isdecimal() else 1)


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """One study as the PACS describes it; ``last_arrival_at`` is aware UTC."""

    study_instance_uid: str
    series: tuple[SeriesFacts, ...]
    tags: Mapping[str, str] = field(default_factory=dict)
    last_arrival_at: datetime | None = None
    sender: str = ""
