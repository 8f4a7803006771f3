"""Which runs a run was fed by: objects among its inputs that another run wrote, or that somebody
approved in place of another run's.

Read next: `adapters/monitoring/chains.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from adapters.database.runs import decode_request
from adapters.database.schema import OWN_INSTANCE, RUN
from adapters.database.schema_workspace import REVIEWED_OBJECT
from adapters.database.session import Session
from plugins.host.ports import RunRequest

DIRECT, APPROVED = "direct", "approved"
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Fed:
    """One run that fed another.

    Parameters
    ----------
    how : `DIRECT` (its own object was the input) or `APPROVED` (what a person approved in its
        place was).
    """

    run_id: str
    plugin: str
    release_digest: str
    how: str


@dataclass(frozen=True, slots=True)
class Given:
    """What a run was given: its study, and the SOP Instance UIDs of its inputs."""

    run_id: str
    study_instance_uid: str
    sop_instance_uids: frozenset[str]


class Chains(Session):
    """Chains of a transaction."""

    def given_of(self, run_ids: Collection[str]) -> tuple[Given, ...]:
        """Return what some runs were given, in the order of their ids."""
        found = []
        listed = sorted(run_ids)
        for start in range(0, len(listed), _CHUNK):
            query = select(RUN.c.request).where(RUN.c.run_id.in_(listed[start : start + _CHUNK]))
            texts = self.connection.scalars(query.order_by(RUN.c.run_id))
            found += [given(decode_request(text)) for text in texts]
        return tuple(found)

    def newest_given(self, release_digest: str, limit: int) -> tuple[Given, ...]:
        """Return what the newest runs of a release were given."""
        query = select(RUN.c.run_id, RUN.c.request).where(RUN.c.release_digest == release_digest)
        query = query.order_by(RUN.c.opened_at.desc(), RUN.c.run_id).limit(limit)
        requests = [decode_request(text) for _, text in self.connection.execute(query)]
        return tuple(map(given, requests))

    def fed_by(self, runs: Sequence[Given]) -> dict[str, tuple[Fed, ...]]:
        """Return for each run by id the runs behind its inputs, of the same study."""
        written: dict[str, set[Fed]] = {}
        studies = sorted({run.study_instance_uid for run in runs})
        for start in range(0, len(studies), _CHUNK):
            part = studies[start : start + _CHUNK]
            for table, how in ((OWN_INSTANCE, DIRECT), (REVIEWED_OBJECT, APPROVED)):
                query = (
                    select(table.c.sop_instance_uid)
                    .add_columns(RUN.c.run_id, RUN.c.plugin, RUN.c.release_digest)
                    .join(RUN, RUN.c.run_id == table.c.run_id)
                    .where(RUN.c.study_instance_uid.in_(part))
                )
                for uid, run_id, plugin, digest in self.connection.execute(query):
                    written.setdefault(uid, set()).add(Fed(run_id, plugin, digest, how))
        found = {}
        for run in runs:
            fed = {one for uid in run.sop_instance_uids & written.keys() for one in written[uid]}
            found[run.run_id] = tuple(sorted(fed, key=lambda one: (one.run_id, one.how)))
        return found


def given(request: RunRequest) -> Given:
    """Return what a run was given, from its request."""
    return Given(request.run_id, request.study_instance_uid, frozenset(request.sop_instance_uids))
