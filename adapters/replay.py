"""Run an old run again from its recorded release and inputs, and compare.

Nothing of a replay leaves the house; that it took place, and how it ended, is recorded.

Read next: `replay_comparison.py`, how the two answers are compared.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from adapters.database.runs import FOLDER, RunRow
from adapters.replay_comparison import compare, contours_of
from adapters.run_record import inference_body
from audit.errors import ConfigurationError, InputChangedError, NotFoundError
from plugins.host.identity import case_digest
from plugins.host.steps import withheld

if TYPE_CHECKING:
    from adapters.compose import Site


def replay_run(site: Site, run_id: str, *, explain: bool = False) -> dict[str, Any]:
    """Return how the replay of a run compares with its record.

    Parameters
    ----------
    explain : compute the explanation too, so that the digest of the whole answer can be
        compared where the record was made with one.

    Returns
    -------
    what `replay_comparison.compare` returns, with ``run_id`` and ``input_digest``.

    Raises
    ------
    ConfigurationError : the run was on files, and they were not given.
    InputChangedError : the archive now holds other pixel values for the same instances.
    NotFoundError : nothing was ever inferred in this run, or its archive or release is gone.
    """
    with site.database.reading() as transaction:
        row = transaction.run(run_id)
        body = inference_body(transaction, run_id)
        documents = transaction.documents(run_id)
    if row is None or not body:
        raise NotFoundError(f"expected a recorded inference for run {run_id}, found none")
    _require_files(site, row)
    request = replace(row.request, mode="replay", trigger="replay")
    manifest = site.registry.manifest(request.release_digest)
    site.house.cases.forget(run_id)  # read it again, also where this process made the run
    case = site.house.cases.fetch(request, manifest)
    digest = case_digest(case)
    if digest != row.input_digest:
        raise InputChangedError(f"expected input {row.input_digest}, found {digest}")
    answer = withheld(site.house.workers.run(request, case, explain=explain))
    compared = compare(body, answer, contours_of(body, documents))
    result = compared | {"run_id": run_id, "input_digest": digest}
    with site.database.transaction() as transaction:
        site.journal.replayed(transaction, request, result)
    return result


def _require_files(site: Site, row: RunRow) -> None:
    """Raise where a run was on files and this site was opened without any."""
    if row.pacs == FOLDER and FOLDER not in site.archives and not site.works_on_files:
        raise ConfigurationError(
            "expected the files of a run that was made with `osteon run`, found none given",
            advice="Name their folder: `osteon replay RUN --input DIR`.",
        )
