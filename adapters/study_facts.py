"""What a search tells about a study, as facts for routing and readiness.

The suite's own series are left out by their recorded UIDs: a result that comes back in a
listing is not an input.

Read next: `plugins/host/readiness.py`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Protocol, runtime_checkable

from adapters.pacs import AssociationClosed, Pacs, SeriesSummary
from plugins.host.facts import SeriesFacts, StudyFacts

_STUDY_KEYWORDS = (
    "InstitutionalDepartmentName",
    "PatientAge",
    "PatientSex",
    "RequestedProcedurePriority",
    "StudyDescription",
)
_ONE_OBJECT = frozenset({"RTSTRUCT", "RTPLAN", "RTDOSE", "REG"})


@runtime_checkable
class KnowsArrivals(Protocol):
    """A door that keeps when and from whom something came."""

    def last_arrival(self, study_instance_uid: str) -> tuple[datetime, str] | None:
        """Return the moment and the sender of the last instance."""
        ...


@runtime_checkable
class KnowsAssociations(Protocol):
    """A door that sees how a sender ended."""

    def association_closed(self, study_instance_uid: str) -> AssociationClosed | None:
        """Return how the last association of a study ended."""
        ...


def study_facts(
    pacs: Pacs,
    study_instance_uid: str,
    own_series: Collection[str],
    *,
    last_arrival_at: datetime | None = None,
    sender: str = "",
) -> StudyFacts:
    """Return what the archive knows of a study, without the suite's own series.

    Parameters
    ----------
    own_series : Series Instance UIDs that the suite wrote, as recorded.
    last_arrival_at, sender : of the newest change, where the caller knows them; else the
        door is asked.
    """
    if last_arrival_at is None and isinstance(pacs, KnowsArrivals):
        arrival = pacs.last_arrival(study_instance_uid)
        if arrival is not None:
            last_arrival_at, sender = arrival[0], sender or arrival[1]
    closed = (
        pacs.association_closed(study_instance_uid) if isinstance(pacs, KnowsAssociations) else None
    )
    series = tuple(
        _with_hint(_series_facts(pacs, summary), closed)
        for summary in pacs.search_series(study_instance_uid)
        if summary.series_instance_uid not in own_series
    )
    tags: dict[str, str] = {}
    for item in series:
        for keyword in _STUDY_KEYWORDS:
            if item.tags.get(keyword):
                tags.setdefault(keyword, item.tags[keyword])
    return StudyFacts(study_instance_uid, series, tags, last_arrival_at, sender)


def _series_facts(pacs: Pacs, summary: SeriesSummary) -> SeriesFacts:
    references = pacs.search_instances(summary.study_instance_uid, summary.series_instance_uid)
    return SeriesFacts(
        summary.series_instance_uid,
        summary.modality,
        tuple(sorted(item.sop_instance_uid for item in references)),
        summary.expected_count,
        summary.tags.get("FrameOfReferenceUID"),
        dict(summary.tags),
    )


def _with_hint(series: SeriesFacts, closed: AssociationClosed | None) -> SeriesFacts:
    """Take a released association as an announcement where nobody made one.

    Some senders use one association for each image: so it counts only when it brought all
    that is there, and more than one instance (or an object that stands alone).
    """
    if closed is None or not closed.ended_normally or series.expected_count is not None:
        return series
    count = len(series.sop_instance_uids)
    brought = closed.series_counts.get(series.series_instance_uid, 0)
    if brought < count or (count < 2 and series.modality not in _ONE_OBJECT):
        return series
    return replace(series, expected_count=count)
