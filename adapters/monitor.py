"""Keep the statistics of each run: monitoring later reads these and never an image.

The statistics are written with their digest, which the inference record carries (SEAMS:
Host protocol).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from adapters.database import Database
from plugins.host.ports import Answer, RunRequest


def statistics_document(answer: Answer) -> tuple[str, str]:
    """Return the statistics of an answer as canonical JSON text, and its digest."""
    import rfc8785

    values = json.loads(json.dumps(asdict(answer.prediction.statistics)))
    text = rfc8785.dumps(values)
    return text.decode(), f"sha256:{hashlib.sha256(text).hexdigest()}"


@dataclass(frozen=True, slots=True)
class StatisticsMonitor:
    """Stores statistics in the site database; fulfils `plugins.host.ports.Monitor`."""

    database: Database

    def observe(self, request: RunRequest, answer: Answer) -> None:
        """Store the statistics of the run; a second call changes nothing."""
        text, digest = statistics_document(answer)
        with self.database.transaction() as transaction:
            transaction.put_statistics(request.run_id, request.release_digest, text, digest)
