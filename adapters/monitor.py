"""Keep the statistics of each run: monitoring later reads these and never an image.

The statistics are written with their digest, which the inference record carries (SEAMS:
Host protocol).  Where another release runs the same study beside it, the findings are kept
too, until the two are compared.

Read next: `governance/findings.py`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from adapters.database import Database
from adapters.governance import findings
from plugins.host.observation import answer_numbers
from plugins.host.ports import Answer, RunRequest


def statistics_document(answer: Answer) -> tuple[str, str]:
    """Return the statistics of an answer as canonical JSON text, and its digest.

    ``output`` is what every kind of finding says of itself (`plugins.host.observation`).
    """
    import rfc8785

    stated: dict[str, object] = asdict(answer.prediction.statistics)
    stated["output"] = answer_numbers(answer.prediction, answer.explanation)
    values = json.loads(json.dumps(stated))
    text = rfc8785.dumps(values)
    return text.decode(), f"sha256:{hashlib.sha256(text).hexdigest()}"


@dataclass(frozen=True, slots=True)
class StatisticsMonitor:
    """Stores statistics in the site database; fulfils `plugins.host.ports.Monitor`."""

    database: Database
    outbox: Path

    def observe(self, request: RunRequest, answer: Answer) -> None:
        """Store the statistics of the run; a second call changes nothing."""
        text, digest = statistics_document(answer)
        with self.database.transaction() as transaction:
            transaction.put_statistics(request.run_id, request.release_digest, text, digest)
            beside = [
                row
                for row in transaction.runs_for_study(request.study_instance_uid, request.plugin)
                if row.release_digest != request.release_digest
            ]
        if request.mode == "shadow" or any(row.mode == "shadow" for row in beside):
            findings.save(self.outbox, request.run_id, answer)
