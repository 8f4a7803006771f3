"""A DIMSE-only site behind the `Pacs` port.

What is pushed to us lies in the intake (a folder archive) and is answered from there; what
is not there is asked of the peer with C-FIND and brought with C-GET or C-MOVE, as far as
the peer offers them.  Results leave with C-STORE.  A peer without C-GET and C-MOVE cannot
be read back: `capabilities` says so and ``read_back_reason`` says why.

What C-MOVE brings goes into a folder beside the intake and raises no change: only pushes
are news.

Read next: `scp.py`, `scu.py`, `commitment.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from pydicom.dataset import Dataset

from adapters.dimse.commitment import Reports, commit
from adapters.dimse.peer import Peer
from adapters.dimse.scp import ScpSettings, StorageScp
from adapters.dimse.scu import Outgoing, ServiceUser, keys_of
from adapters.folder import FolderPacs
from adapters.pacs import (
    ROUTING_KEYWORDS,
    AssociationClosed,
    ChangeBatch,
    InstanceReference,
    SeriesSummary,
    StoreOutcome,
)
from adapters.part10 import complete_part10, text_of
from audit.errors import (
    ConfigurationError,
    InputError,
    NotFoundError,
    RejectedError,
)
from audit.pseudonym import short

WRONG_STUDY = 0xA900  # PS3.4 B.2.3
CANNOT_UNDERSTAND = 0xC000  # PS3.4 B.2.3
# FrameOfReferenceUID and geometry stand in instances; a series search does not know them
_SERIES_KEYS = tuple(
    keyword
    for keyword in ROUTING_KEYWORDS
    if not keyword.startswith(("Image", "NumberOfFrames", "Pixel", "Rows"))
)


class DimsePacs:
    """An intake of our own and, behind it, a peer; use it with ``with`` to listen.

    Parameters
    ----------
    intake : folder of the objects that were pushed to us.
    aet, port : what we listen on; port 0 takes a free one.
    peer : the archive; None for a site that only pushes.
    settings : more of how we listen; its AE title and port are those given here.
    """

    def __init__(
        self,
        name: str,
        intake: Path,
        *,
        aet: str,
        port: int,
        peer: Peer | None = None,
        allowed_aets: Sequence[str] = (),
        settings: ScpSettings | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        self.name = name
        self.intake = FolderPacs(name, intake)
        self._retrieved = FolderPacs(name, Path(intake) / "retrieved")
        self._reports = Reports(Path(intake) / "commitments")
        self._aet = aet
        self._timeout_s = timeout_s
        self._moving = threading.Lock()
        self._awaited: frozenset[str] = frozenset()
        self._user = None if peer is None else ServiceUser(aet, peer, timeout_s)
        self._offered: frozenset[str] | None = frozenset() if peer is None else None
        listening = replace(
            settings or ScpSettings(aet, port), aet=aet, port=port, allowed_aets=tuple(allowed_aets)
        )
        self._scp = StorageScp(listening, self._folder_for, self._reports.keep)
        # until the peer was first asked, what it is said to have
        self.capabilities = _capabilities(frozenset() if peer is None else peer.services)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Listen for pushes; nothing happens when it listens already."""
        if not self._scp.port:
            self._scp.start()

    def close(self) -> None:
        """Stop listening and close the folders."""
        self._scp.close()
        self.intake.close()
        self._retrieved.close()

    @property
    def port(self) -> int:
        """Return the port that it listens on; 0 while it does not."""
        return self._scp.port

    @property
    def read_back_reason(self) -> str:
        """Return why what was stored cannot be read back; "" when it can."""
        if "read_back" in self.capabilities:
            return ""
        return "the peer offers neither C-GET nor C-MOVE"

    def check(self) -> str:
        """Return that the peer answers C-ECHO and what it offers."""
        listens = f"listens as {self._aet} on port {self.port}" if self.port else "does not listen"
        if self._user is None:
            return f"DIMSE intake, {listens}, no peer"
        self._user.echo()
        self._offered = None
        offers = ", ".join(sorted(self._services())) or "nothing"
        return f"DIMSE peer {self._user.peer.aet} answers, offers {offers}; {listens}"

    def changes(self, cursor: str | None, limit: int = 1000) -> ChangeBatch:
        """Return what was pushed to us after the cursor; listens from the first call on."""
        self.start()
        return self.intake.changes(cursor, limit)

    def association_closed(self, study_instance_uid: str) -> AssociationClosed | None:
        """Return how the last association that brought something of a study ended."""
        return self._scp.association_closed(study_instance_uid)

    def last_arrival(self, study_instance_uid: str) -> tuple[datetime, str] | None:
        """Return when and from whom the last instance of a study came."""
        return self.intake.last_arrival(study_instance_uid)

    def search_studies(self, **keys: str) -> tuple[str, ...]:
        """Return studies of the intake and of the peer that match the keywords exactly."""
        found: set[str] = set()
        with suppress(RejectedError):  # the intake keeps fewer keys than the peer
            found.update(self.intake.search_studies(**keys))
        if "find" in self._services():
            wanted = {"StudyInstanceUID": "", **_exact(keys)}
            found.update(text_of(item, "StudyInstanceUID") for item in self._find("STUDY", wanted))
        return tuple(sorted(found - {""}))

    def search_series(self, study_instance_uid: str) -> tuple[SeriesSummary, ...]:
        """Return the series of a study: of the intake, else of the peer."""
        here = self.intake.search_series(study_instance_uid)
        if here or "find" not in self._services():
            return here
        keys = {
            **dict.fromkeys(_SERIES_KEYS, ""),
            "StudyInstanceUID": study_instance_uid,
            "SeriesInstanceUID": "",
            "NumberOfSeriesRelatedInstances": "",
        }
        found = [_summary(study_instance_uid, item) for item in self._find("SERIES", keys)]
        return tuple(
            item if item.instance_count else replace(item, instance_count=self._count(item))
            for item in sorted(found, key=lambda item: item.series_instance_uid)
        )

    def search_instances(
        self, study_instance_uid: str, series_instance_uid: str
    ) -> tuple[InstanceReference, ...]:
        """Return the instances of a series: of the intake, else of the peer."""
        here = self.intake.search_instances(study_instance_uid, series_instance_uid)
        if here or "find" not in self._services():
            return here
        keys = {
            "StudyInstanceUID": study_instance_uid,
            "SeriesInstanceUID": series_instance_uid,
            "SOPInstanceUID": "",
            "SOPClassUID": "",
        }
        found = [
            InstanceReference(
                study_instance_uid,
                series_instance_uid,
                text_of(item, "SOPInstanceUID"),
                text_of(item, "SOPClassUID"),
            )
            for item in self._find("IMAGE", keys)
        ]
        return tuple(sorted(found, key=lambda item: item.sop_instance_uid))

    def retrieve_series(self, study_instance_uid: str, series_instance_uid: str) -> Iterator[bytes]:
        """Yield each instance of a series: of the intake, else of the peer."""
        if self.intake.search_instances(study_instance_uid, series_instance_uid):
            yield from self.intake.retrieve_series(study_instance_uid, series_instance_uid)
            return
        references = self.search_instances(study_instance_uid, series_instance_uid)
        if references:
            keys = keys_of(
                "SERIES",
                StudyInstanceUID=study_instance_uid,
                SeriesInstanceUID=series_instance_uid,
            )
            yield from self._bring(references, keys)

    def retrieve_instance(self, reference: InstanceReference) -> bytes:
        """Return one instance: of the intake, else of the peer."""
        try:
            return self.intake.retrieve_instance(reference)
        except NotFoundError:
            if not self._services() & {"get", "move"}:
                raise
        keys = keys_of(
            "IMAGE",
            StudyInstanceUID=reference.study_instance_uid,
            SeriesInstanceUID=reference.series_instance_uid,
            SOPInstanceUID=reference.sop_instance_uid,
        )
        try:
            found = list(self._bring([reference], keys))
        except RejectedError:
            if self._is_at_peer(reference):
                raise
            found = []  # many peers answer a retrieve of something unknown with a failure
        if not found:
            raise NotFoundError(
                f"expected instance {short(reference.sop_instance_uid)} in {self.name}, found none"
            )
        return found[0]

    def store(self, study_instance_uid: str, files: Sequence[bytes]) -> tuple[StoreOutcome, ...]:
        """Send files of one study to the peer with C-STORE."""
        user = self._peer_with("store")
        outcomes: dict[int, StoreOutcome] = {}
        outgoing: dict[int, Outgoing] = {}
        for position, data in enumerate(files):
            try:
                complete, part10 = complete_part10(data)
            except InputError as error:
                outcomes[position] = StoreOutcome("", "failed", CANNOT_UNDERSTAND, error.code)
                continue
            reference = part10.reference
            if reference.study_instance_uid == study_instance_uid:
                outgoing[position] = Outgoing(reference, complete)
                continue
            uid, reason = reference.sop_instance_uid, "the object is of another study"
            outcomes[position] = StoreOutcome(uid, "failed", WRONG_STUDY, reason)
        if outgoing:
            sent = user.store(list(outgoing.values()))
            outcomes.update(zip(outgoing, sent, strict=True))
        return tuple(outcomes[position] for position in range(len(files)))

    def commit(
        self, references: Sequence[InstanceReference], *, timeout_s: float = 60.0
    ) -> tuple[StoreOutcome, ...]:
        """Ask the peer for storage commitment; ``stored`` means that it committed itself.

        Raises
        ------
        UnavailableError : no report came in time; asking again later is harmless.
        """
        user = self._peer_with("commitment")
        self._listen_if_free()
        return commit(self._aet, user.peer, references, self._reports, timeout_s)

    def _bring(self, references: Sequence[InstanceReference], keys: Dataset) -> Iterator[bytes]:
        """Yield what C-GET or C-MOVE brings for the keys.

        What an earlier C-MOVE left is removed first, so that the answer is fresh.
        """
        if "get" in self._services():
            classes = {item.sop_class_uid for item in references} - {""}
            yield from self._peer_with("get").get(classes, keys)
            return
        self._listen_if_free()
        with self._moving:
            self._awaited = frozenset(item.sop_instance_uid for item in references)
            try:
                for reference in references:
                    self._retrieved.delete_instance(reference)
                self._peer_with("move").move(keys)
                for reference in references:
                    with suppress(NotFoundError):
                        yield self._retrieved.retrieve_instance(reference)
            finally:
                self._awaited = frozenset()
                for reference in references:
                    self._retrieved.delete_instance(reference)

    def _is_at_peer(self, reference: InstanceReference) -> bool:
        if "find" not in self._services():
            return True
        keys = {
            "StudyInstanceUID": reference.study_instance_uid,
            "SeriesInstanceUID": reference.series_instance_uid,
            "SOPInstanceUID": reference.sop_instance_uid,
        }
        return any(True for _ in self._find("IMAGE", keys))

    def _services(self) -> frozenset[str]:
        """Return what the peer offers; it is asked once, and again by `check`."""
        if self._offered is None and self._user is not None:
            self._offered = self._user.offers()
            self.capabilities = _capabilities(self._offered)
        return self._offered or frozenset()

    def _find(self, level: str, keys: Mapping[str, str]) -> Iterator[Dataset]:
        return self._peer_with("find").find(level, keys)

    def _count(self, series: SeriesSummary) -> int:
        return len(self.search_instances(series.study_instance_uid, series.series_instance_uid))

    def _folder_for(self, originator: str, sop_instance_uid: str) -> FolderPacs:
        """Keep what we asked for apart from pushes.

        The move originator should be our AE title (PS3.7 Section 9.1.1.1.7); some peers
        name themselves or nobody, so what this process awaits counts too.
        """
        is_ours = originator == self._aet or sop_instance_uid in self._awaited
        return self._retrieved if is_ours else self.intake

    def _listen_if_free(self) -> None:
        with suppress(ConfigurationError):  # another process of this site listens: same folders
            self.start()

    def _peer_with(self, service: str) -> ServiceUser:
        if self._user is None or service not in self._services():
            raise RejectedError(f"expected a peer of {self.name} that offers {service}, found none")
        return self._user


def _capabilities(services: frozenset[str]) -> frozenset[str]:
    found = {"search", "retrieve", "changes", "instance_changes"} | (
        services & {"store", "commitment"}
    )
    if services & {"get", "move"}:
        found.add("read_back")
    return frozenset(found)


def _exact(keys: Mapping[str, str]) -> Mapping[str, str]:
    if any(set(value) & set("*?\\") for value in keys.values()):
        raise RejectedError(f"expected exact values of {sorted(keys)}, found a wildcard")
    return keys


def _summary(study_uid: str, item: Any) -> SeriesSummary:
    tags = {keyword: value for keyword in _SERIES_KEYS if (value := text_of(item, keyword))}
    count = text_of(item, "NumberOfSeriesRelatedInstances")
    return SeriesSummary(
        study_uid,
        text_of(item, "SeriesInstanceUID"),
        tags.get("Modality", ""),
        int(count) if count.isdigit() else 0,
        None,
        tags,
    )
