"""Store and forward: every checkpoint goes to every witness, authority and anchor, in order.

The checkpoints are the store: for each receiver the table ``attestation`` says how far it
is, so that an outage or a crash loses nothing and repeats nothing that was kept.  A
receiver that cannot be reached holds up no other.  A witness that *refuses* is no outage:
it saw another log than the one that lies here, which is put on record as a fault.

Read next: `../engine/serving.py` (when this runs).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from adapters.attestation.attestor import Attestor, Job
from adapters.attestation.clock import ask_ntp
from adapters.database import Database
from adapters.database.site_records import SiteRecords
from audit.errors import LogTamperedError, SuiteError
from audit.merkle import prove_consistency
from audit.ports import Attestation, StoredCheckpoint

GROUP = 200
"""Checkpoints to one receiver in one turn, so that a long outage of one does not starve others."""
REFUSED = "refused:"
CLOCK_LIMIT_MS = 1000.0
"""REGULATORY.md TLOG-2: the default limit of the clock's offset."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Forwarder:
    """Brings checkpoints to those who state something about them."""

    database: Database
    attestors: Sequence[Attestor]
    records: SiteRecords
    now: Callable[[], datetime]
    clock_limit_ms: float = CLOCK_LIMIT_MS
    ntp_servers: Sequence[str] = ()

    def turn(self) -> int:
        """Forward what is due to each receiver; return how many statements were kept."""
        return sum(self._serve(attestor) for attestor in self.attestors)

    def read_clocks(self) -> int:
        """Compare our clock with the NTP servers, on record; return how many answered."""
        answered = 0
        for host in self.ntp_servers:
            try:
                reading = ask_ntp(host, self.now)
            except SuiteError as error:
                _log.warning("clock not compared", server=host, code=error.code)
                continue
            with self.database.transaction() as store:
                self.records.clock(store, reading, self.clock_limit_ms)
            answered += 1
        return answered

    def _serve(self, attestor: Attestor) -> int:
        kept = 0
        try:
            for checkpoint in self._due(attestor):
                kept += self._forward(attestor, checkpoint)
        except LogTamperedError as error:
            self._refused(attestor, error)
        except SuiteError as error:
            _log.warning("checkpoint not forwarded", to=attestor.name, code=error.code)
        return kept

    def _due(self, attestor: Attestor) -> tuple[StoredCheckpoint, ...]:
        with self.database.reading() as store:
            last = store.last_attestation(attestor.name)
            if not attestor.every_s:
                return store.checkpoints_after(last.tree_size if last else 0, GROUP)
            newest = store.last_checkpoint()
        if newest is None or (last is not None and newest.tree_size <= last.tree_size):
            return ()
        if last is not None:
            waited_s = (self.now() - last.obtained_at).total_seconds()
            if waited_s < attestor.every_s:
                return ()
        return (newest,)

    def _forward(self, attestor: Attestor, checkpoint: StoredCheckpoint) -> int:
        with self.database.reading() as store:
            last = store.last_attestation(attestor.name)
            newest = store.last_checkpoint()
        last_size = last.tree_size if last else 0
        log_size = newest.tree_size if newest else 0
        stated = attestor.attest(Job(checkpoint, last_size, log_size, self._prove))
        said = Attestation(
            checkpoint.tree_size, attestor.name, attestor.kind, stated.content, self.now()
        )
        with self.database.transaction() as store:
            store.set_cursor(REFUSED + attestor.name, "")
            kept = store.put_attestation(said)
            if stated.clock is not None:
                self.records.clock(store, stated.clock, self.clock_limit_ms)
        return int(kept and bool(stated.content))

    def _prove(self, size1: int, size2: int) -> tuple[bytes, ...]:
        with self.database.reading() as store:
            return prove_consistency(size1, size2, store.nodes)

    def _refused(self, attestor: Attestor, error: LogTamperedError) -> None:
        """Put a refusal on record, once until the receiver accepts again."""
        _log.error("our log was refused", by=attestor.name, reason=str(error))
        with self.database.transaction() as store:
            if store.cursor(REFUSED + attestor.name):
                return
            store.set_cursor(REFUSED + attestor.name, self.now().isoformat())
            self.records.fault(store, "WITNESS_REFUSED", f"{attestor.kind}:{attestor.name}")
