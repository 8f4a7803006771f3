"""What others send us: a storage SCP that answers only when the object is durable.

Follows PS3.4 Annex B (storage) and J (storage commitment, as its SCU).  What an association
brought, and how it ended, is kept: a sender that releases has finished for now.

Read next: `pacs.py`.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, Self

import structlog
from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from adapters.dimse.peer import check_title
from adapters.pacs import AssociationClosed, StoreOutcome
from adapters.part10 import read_part10
from audit.errors import (
    ConfigurationError,
    DatabaseBusyError,
    DiskFullError,
    InputError,
    StorageError,
)

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
OUT_OF_RESOURCES = 0xA700  # PS3.4 B.2.3
MISMATCH = 0xA900  # PS3.4 B.2.3
CANNOT_UNDERSTAND = 0xC000  # PS3.4 B.2.3
_REMEMBERED = 1000
_log = structlog.get_logger(__name__)


class Intake(Protocol):
    """Where received objects go; durable on return."""

    def store(
        self, study_instance_uid: str, files: list[bytes], *, sender: str = ""
    ) -> tuple[StoreOutcome, ...]:
        """Store files of one study."""
        ...


@dataclass(frozen=True, slots=True)
class ScpSettings:
    """How the service provider listens.

    Parameters
    ----------
    port : 0 takes a free one.
    allowed_aets : calling AE titles that may associate; empty allows all.
    max_instance_bytes : larger objects are refused with A700.
    tls : context for secure connections (PS3.15 Annex B); None for plain ones.
    """

    aet: str
    port: int
    host: str = ""
    allowed_aets: tuple[str, ...] = ()
    max_associations: int = 10
    max_instance_bytes: int = 2**30
    timeout_s: float = 60.0
    tls: ssl.SSLContext | None = None


@dataclass(slots=True)
class _Received:
    sender: str
    studies: dict[str, Counter[str]] = field(default_factory=dict)


class StorageScp:
    """A storage SCP; use it with ``with``.

    Parameters
    ----------
    choose : says for a move originator's AE title ("" for a plain push) and a SOP Instance
        UID where the object goes.
    on_report : takes the data set of a storage commitment report.
    """

    def __init__(
        self,
        settings: ScpSettings,
        choose: Callable[[str, str], Intake],
        on_report: Callable[[Dataset], None],
    ) -> None:
        check_title(settings.aet)
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
        self._settings = settings
        self._choose = choose
        self._on_report = on_report
        self._lock = threading.Lock()
        self._open: dict[int, _Received] = {}
        self._closed: OrderedDict[str, AssociationClosed] = OrderedDict()
        self._server: Any = None

    @property
    def port(self) -> int:
        """Return the port that it listens on; 0 while it does not."""
        return int(self._server.socket.getsockname()[1]) if self._server else 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Listen; ConfigurationError when the port is taken."""
        settings = self._settings
        entity = AE(ae_title=settings.aet)
        entity.require_called_aet = True
        entity.require_calling_aet = list(settings.allowed_aets)
        entity.maximum_associations = settings.max_associations
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = settings.timeout_s
        entity.add_supported_context(Verification)
        entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
        handlers: list[Any] = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_EVENT_REPORT, self._report),
            (evt.EVT_RELEASED, self._ended, [True]),
            (evt.EVT_ABORTED, self._ended, [False]),
            (evt.EVT_CONN_CLOSE, self._ended, [False]),
        ]
        try:
            self._server = entity.start_server(
                (settings.host, settings.port),
                block=False,
                ssl_context=settings.tls,
                evt_handlers=handlers,
            )
        except OSError as error:
            raise ConfigurationError(
                f"expected the DICOM port {settings.port} to be free, found it taken"
            ) from error
        _log.info("storage scp listens", aet=settings.aet, port=self.port)

    def close(self) -> None:
        """Stop listening; open associations are aborted."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def association_closed(self, study_instance_uid: str) -> AssociationClosed | None:
        """Return how the last association that brought something of a study ended.

        None while one is still open, and when nothing came since the start.
        """
        with self._lock:
            if any(study_instance_uid in item.studies for item in self._open.values()):
                return None
            return self._closed.get(study_instance_uid)

    def _store(self, event: Any) -> int:
        sender = str(event.assoc.requestor.ae_title).strip()
        if event.request.DataSet.getbuffer().nbytes > self._settings.max_instance_bytes:
            return self._refused(OUT_OF_RESOURCES, "larger than the limit", sender)
        data = event.encoded_dataset()
        try:
            reference = read_part10(data).reference
            if reference.sop_instance_uid != event.request.AffectedSOPInstanceUID:
                return self._refused(MISMATCH, "another instance than announced", sender)
            originator = str(event.request.MoveOriginatorApplicationEntityTitle or "").strip()
            intake = self._choose(originator, reference.sop_instance_uid)
            outcome = intake.store(reference.study_instance_uid, [data], sender=sender)[0]
        except InputError as error:
            return self._refused(CANNOT_UNDERSTAND, error.code, sender)
        except (DiskFullError, DatabaseBusyError) as error:
            return self._refused(OUT_OF_RESOURCES, error.code, sender)
        except StorageError as error:
            return self._refused(PROCESSING_FAILURE, error.code, sender)
        if outcome.status == "failed":
            return self._refused(outcome.code or PROCESSING_FAILURE, outcome.reason, sender)
        with self._lock:
            received = self._open.setdefault(id(event.assoc), _Received(sender))
            counts = received.studies.setdefault(reference.study_instance_uid, Counter())
            counts[reference.series_instance_uid] += 1
        return SUCCESS

    def _ended(self, event: Any, normally: bool) -> None:
        """Close the account of an association; the first of its closing events counts."""
        with self._lock:
            received = self._open.pop(id(event.assoc), None)
            if received is None:
                return
            now = datetime.now(UTC)
            for study, counts in received.studies.items():
                closed = AssociationClosed(received.sender, normally, now, dict(counts))
                self._closed[study] = closed
                self._closed.move_to_end(study)
            while len(self._closed) > _REMEMBERED:
                self._closed.popitem(last=False)

    def _report(self, event: Any) -> tuple[int, None]:
        self._on_report(event.event_information)
        return SUCCESS, None

    def _refused(self, code: int, reason: str, sender: str) -> int:
        _log.warning("instance refused", status=f"{code:#06x}", reason=reason, sender=sender)
        return code
