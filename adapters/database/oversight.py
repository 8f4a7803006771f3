"""Assessments of results, what was viewed before, and sets that wait to be looked at.

Read next: `schema_workspace.py`, `adapters/oversight/`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, select, update

from adapters.database.schema import put, put_if_absent
from adapters.database.schema_workspace import (
    ASSESSMENT,
    REVIEW,
    REVIEW_LOOK,
    REVIEWED_OBJECT,
    VIEWED,
)
from adapters.database.session import Session
from governance.oversight.assessment import Assessment, Viewing, decode, encode
from governance.oversight.rates import Cell

LONGEST_GAP_S = 60.0
"""A pause between two views counts as a minute at most: nobody looks at one slice longer."""
SLICE, EXPLANATION, UNCERTAINTY = "slice", "explanation", "uncertainty"
_GROUPS = {
    "plugin": ASSESSMENT.c.plugin,
    "release": ASSESSMENT.c.release_digest,
    "site": ASSESSMENT.c.site,
    "structure": ASSESSMENT.c.structure,
    "subgroup": ASSESSMENT.c.subgroup,
    "fraction": ASSESSMENT.c.fraction,
}


@dataclass(frozen=True, slots=True)
class About:
    """What an assessment is about, beside what it says itself."""

    plugin: str
    release_digest: str
    site: str
    subgroup: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Look:
    """A study in which something of others arrived, and when it is to be looked at."""

    pacs: str
    study_instance_uid: str
    arrived_at: datetime
    due_at: datetime


class Oversight(Session):
    """Reviews of a transaction."""

    def put_assessment(self, assessment: Assessment, about: About) -> None:
        """Keep an assessment; it replaces earlier ones of the same thing as the current one."""
        same = (
            (ASSESSMENT.c.run_id == assessment.run_id)
            & (ASSESSMENT.c.structure == assessment.structure)
            & (ASSESSMENT.c.fraction == assessment.fraction)
        )
        is_clinical = assessment.seeded is None and not assessment.blinded
        if is_clinical:
            clinical = same & ASSESSMENT.c.is_clinical.is_(True)
            self.connection.execute(update(ASSESSMENT).where(clinical).values(is_current=False))
        viewing = assessment.viewing
        seen = ("yes" if viewing.slices_visited else "no") if viewing.known else ""
        self.connection.execute(
            ASSESSMENT.insert().values(
                assessment_id=assessment.assessment_id,
                run_id=assessment.run_id,
                structure=assessment.structure,
                fraction=assessment.fraction,
                action=assessment.action,
                severity=assessment.severity,
                source=assessment.source,
                reviewer=assessment.reviewer,
                plugin=about.plugin,
                release_digest=about.release_digest,
                site=about.site,
                subgroup=about.subgroup,
                seen=seen,
                seconds=viewing.active_seconds,
                decided_at=assessment.decided_at,
                is_current=True,
                is_clinical=is_clinical,
                score=about.score,
                content=json.dumps(encode(assessment), sort_keys=True),
            )
        )

    def assessments_of(self, run_id: str) -> tuple[Assessment, ...]:
        """Return the assessments of a run, oldest first."""
        query = select(ASSESSMENT.c.content).where(ASSESSMENT.c.run_id == run_id)
        query = query.order_by(ASSESSMENT.c.decided_at, ASSESSMENT.c.assessment_id)
        return tuple(decode(json.loads(text)) for text in self.connection.scalars(query))

    def assessments(
        self, plugin: str, limit: int = 2000
    ) -> tuple[tuple[Assessment, float | None], ...]:
        """Return the newest assessments of a plugin with the uncertainty of their runs."""
        query = select(ASSESSMENT.c.content, ASSESSMENT.c.score).where(
            ASSESSMENT.c.plugin == plugin
        )
        rows = self.connection.execute(query.order_by(ASSESSMENT.c.decided_at.desc()).limit(limit))
        return tuple((decode(json.loads(content)), score) for content, score in rows)

    def assessed_runs(self, run_ids: Sequence[str]) -> set[str]:
        """Return those of the runs that somebody assessed."""
        query = select(ASSESSMENT.c.run_id).where(ASSESSMENT.c.run_id.in_(run_ids))
        return set(self.connection.scalars(query.distinct()))

    def assessed_plugins(self) -> tuple[str, ...]:
        """Return the plugins whose results somebody assessed."""
        return _distinct(self, select(ASSESSMENT.c.plugin))

    def reviewer_count(self, plugin: str) -> int:
        """Return how many persons assessed results of a plugin."""
        query = select(func.count(func.distinct(ASSESSMENT.c.reviewer))).where(
            ASSESSMENT.c.plugin == plugin, ASSESSMENT.c.reviewer != ""
        )
        return int(self.connection.scalar(query) or 0)

    def assessment_cells(
        self, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Cell, ...]:
        """Return how many current clinical assessments are alike, for `rates`."""
        keys = (*_GROUPS.values(), ASSESSMENT.c.action, ASSESSMENT.c.severity, ASSESSMENT.c.seen)
        query: Select[Any] = select(*keys, func.count(), func.sum(ASSESSMENT.c.seconds)).where(
            ASSESSMENT.c.is_current.is_(True), ASSESSMENT.c.is_clinical.is_(True)
        )
        if since is not None:
            query = query.where(ASSESSMENT.c.decided_at >= since)
        if until is not None:
            query = query.where(ASSESSMENT.c.decided_at < until)
        cells = []
        for row in self.connection.execute(query.group_by(*keys)):
            group = {name: str(row[place]) for place, name in enumerate(_GROUPS)}
            action, severity, seen, count, seconds = row[len(_GROUPS) :]
            cells.append(Cell(group, action, severity, seen, int(count), float(seconds or 0)))
        return tuple(cells)

    def note_view(
        self, run_id: str, reviewer: str, what: tuple[str, int], slices_total: int, now: datetime
    ) -> None:
        """Note that something of a result was on a reviewer's screen."""
        place = (REVIEW.c.run_id == run_id) & (REVIEW.c.reviewer == reviewer)
        row = self.connection.execute(select(REVIEW).where(place)).first()
        gap_s = 0.0 if row is None else min((now - row.last_at).total_seconds(), LONGEST_GAP_S)
        put(
            self.connection,
            REVIEW,
            {
                "run_id": run_id,
                "reviewer": reviewer,
                "opened_at": now if row is None else row.opened_at,
                "last_at": now,
                "active_seconds": (0.0 if row is None else row.active_seconds) + max(0.0, gap_s),
                "slices_total": slices_total or (0 if row is None else row.slices_total),
            },
        )
        viewed = {"run_id": run_id, "reviewer": reviewer, "what": what[0], "number": what[1]}
        put_if_absent(self.connection, VIEWED, viewed)

    def viewing(self, run_id: str, reviewer: str, now: datetime) -> Viewing:
        """Return what a reviewer saw of a run until now."""
        place = (REVIEW.c.run_id == run_id) & (REVIEW.c.reviewer == reviewer)
        row = self.connection.execute(select(REVIEW).where(place)).first()
        if row is None:
            return Viewing(known=True)
        query = select(VIEWED.c.what, func.count()).where(
            VIEWED.c.run_id == run_id, VIEWED.c.reviewer == reviewer
        )
        counts = {
            what: int(n) for what, n in self.connection.execute(query.group_by(VIEWED.c.what))
        }
        last_s = min(max(0.0, (now - row.last_at).total_seconds()), LONGEST_GAP_S)
        return Viewing(
            known=True,
            active_seconds=round(row.active_seconds + last_s, 3),
            slices_visited=counts.get(SLICE, 0),
            slices_total=row.slices_total,
            explanation_viewed=EXPLANATION in counts,
            uncertainty_viewed=UNCERTAINTY in counts,
        )

    def put_review_look(
        self, pacs: str, study_instance_uid: str, arrived: datetime, due: datetime
    ) -> None:
        """Let a study be looked at for approved sets once it is still.

        The first arrival since the last look is kept: what is found may have come with it.
        """
        place = (REVIEW_LOOK.c.pacs == pacs) & (
            REVIEW_LOOK.c.study_instance_uid == study_instance_uid
        )
        first = self.connection.scalar(select(REVIEW_LOOK.c.arrived_at).where(place))
        row = {
            "pacs": pacs,
            "study_instance_uid": study_instance_uid,
            "arrived_at": arrived if first is None else min(first, arrived),
            "due_at": due,
        }
        put(self.connection, REVIEW_LOOK, row)

    def due_review_looks(self, now: datetime) -> tuple[Look, ...]:
        """Return what is to be looked at now."""
        query = select(REVIEW_LOOK).where(REVIEW_LOOK.c.due_at <= now)
        rows = self.connection.execute(query.order_by(REVIEW_LOOK.c.due_at).limit(50))
        return tuple(Look(*row) for row in rows)

    def note_set_seen(self, sop_instance_uid: str, arrived: datetime) -> datetime:
        """Return when a set of others came here first."""
        self.note_reviewed_object(sop_instance_uid, "", arrived)
        query = select(REVIEWED_OBJECT.c.found_at).where(
            REVIEWED_OBJECT.c.sop_instance_uid == sop_instance_uid, REVIEWED_OBJECT.c.run_id == ""
        )
        first: datetime = self.connection.execute(query).scalar_one()
        return first

    def remove_review_look(self, look: Look) -> None:
        """Take a study out that was looked at, unless something came to it meanwhile."""
        self.connection.execute(
            delete(REVIEW_LOOK).where(
                REVIEW_LOOK.c.pacs == look.pacs,
                REVIEW_LOOK.c.study_instance_uid == look.study_instance_uid,
                REVIEW_LOOK.c.due_at == look.due_at,
            )
        )

    def note_reviewed_object(self, sop_instance_uid: str, run_id: str, now: datetime) -> bool:
        """Note that a set was read as the review of a run; False when it was before."""
        row = {"sop_instance_uid": sop_instance_uid, "run_id": run_id, "found_at": now}
        return put_if_absent(self.connection, REVIEWED_OBJECT, row)


def _distinct(session: Session, query: Select[Any]) -> tuple[str, ...]:
    return tuple(sorted(str(name) for name in session.connection.scalars(query.distinct())))
