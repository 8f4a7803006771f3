"""The path of a study through a plugin, in the only place that knows the order.

Step 1, routing, has made the `RunRequest`; `process` does the rest, in the order of
its table.  Each step is done at least once and its JSON value remembered
(`StepRunner`), so a crash anywhere resumes behind the last finished step; every effect
is keyed by the run id, and doing it again changes nothing.  The case is never
remembered: it is fetched again and must have the recorded digest.  Nothing leaves
before ``record`` has returned.

A retryable error leaves its step, is not remembered and reaches the engine, which calls
`process` again, or `give_up` in the end.  Any other error is remembered as the end of
the run.  Nothing sleeps here: while a target is away the result is "delivering", and the
engine calls `resume_delivery` when the next attempt is due.

Read next: `steps.py` (what each step does), `ports.py` (all that they use).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog

from audit.errors import InputError, RefusalError, SuiteError
from plugins.host import result
from plugins.host.ports import House, Json, RunRequest, StepRunner
from plugins.host.result import RunResult
from plugins.host.steps import Run, attempt, log_defect

log = structlog.get_logger()


def process(request: RunRequest, house: House, steps: StepRunner) -> RunResult:
    """Take one routed study through one release, from opening the run to closing it.

    Returns
    -------
    done, abstained, refused or failed: the run is closed.  delivering: call
    `resume_delivery` with this result at ``next_attempt_at``.

    Raises
    ------
    SuiteError : only a retryable one; the run stays open, call again to resume it.
    """
    run = Run(request, house)
    facts: Json = {}
    for name, function in (
        ("open", run.open),  # on record before anything is fetched
        ("fetch", run.fetch),  # 2: typed values and their digest
        ("check", run.check),  # 3: inside the envelope, or refused
        ("infer", run.infer),  # 4 and 5: findings, uncertainty, explanation
        ("record", run.record),  # 6: composed, recorded, in the tree
        ("deliver", run.deliver),  # 7: written back, read back; perhaps not all yet
        ("monitor", run.monitor),  # 8: statistics, never in the way of a result
    ):
        facts |= steps.step(name, partial(_settled, name, function, dict(facts)))
        if "stopped" in facts:
            break
    for name, function in (
        ("refuse", run.refuse),  # a refusal is an answer: composed, recorded, in the tree
        ("deliver_refusal", run.deliver),  # and written back and read back like any other
    ):
        if facts.get("stopped") == "refused":
            facts |= steps.step(name, partial(_settled, name, function, dict(facts)))
    return result.decode(steps.step("close", partial(run.close, dict(facts))))


def resume_delivery(request: RunRequest, house: House, waiting: RunResult) -> RunResult:
    """Try again to deliver what an earlier result left waiting; close the run when all is final.

    Calling it twice delivers once: `Delivery` knows the state of each document.
    """
    facts = attempt(request, house, waiting.documents)
    facts |= {"abstained": waiting.abstained, "abstention_reasons": list(waiting.reasons)}
    facts["documents"] = [result.encode_document(item) for item in waiting.documents]
    if waiting.refusal:
        facts |= _stopped("refused", waiting.refusal, waiting.reasons)
    return result.decode(Run(request, house).close(facts))


def give_up(request: RunRequest, house: House, error: SuiteError) -> RunResult:
    """Close a run as failed after the engine's last attempt at a retryable error."""
    return result.decode(Run(request, house).close(_stopped("failed", error.code)))


def _settled(name: str, function: Callable[[Json], Json], facts: Json) -> Json:
    """Take a step; turn an error that trying again cannot help into the end of the run."""
    try:
        return function(facts)
    except SuiteError as error:
        if error.retryable:
            raise
        log.warning("run_stopped", step=name, code=error.code, detail=str(error))
        if isinstance(error, RefusalError):
            return _stopped("refused", error.code, error.reasons)
        if isinstance(error, InputError):
            return _stopped("refused", error.code, (error.code,))
        return _stopped("failed", error.code)
    except Exception as error:  # broad: a run must be closed on every exit, also by a defect
        log_defect("run_stopped_by_defect", name, error)
        return _stopped("failed", SuiteError.code)


def _stopped(status: str, code: str, reasons: tuple[str, ...] = ()) -> Json:
    """Return the facts of a run that ends here; ``code`` is left to what delivery says."""
    said = "refusal" if status == "refused" else "code"
    return {"stopped": status, said: code, "reasons": list(reasons)}
