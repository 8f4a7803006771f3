"""What each step of a run does: one method of `Run` each, in the order of `pipeline.py`.

A method takes the JSON values of the steps before it and returns its own.  It may be
called again after a crash: journal, staging, outbox and delivery are keyed by the run
id, so that doing it twice does it once.

Read next: `envelope.py` (step 3), `runner.py` (step 4), `ports.py`.
"""

from __future__ import annotations

import traceback
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import structlog

from audit.errors import (
    AnswerChangedError,
    BarredError,
    DoorError,
    InputChangedError,
    MixedPatientsError,
    NotFoundError,
    RefusalError,
    SeriesChangedError,
    SuiteError,
)
from governance.certification import clear, runtime_differences
from plugins.host import envelope, result
from plugins.host.case import Case
from plugins.host.identity import RECALL, RECALLED, case_digest
from plugins.host.manifest import Manifest
from plugins.host.ports import Answer, Document, House, Json, RunRequest
from plugins.host.result import RunResult
from plugins.host.staging import answer_digest

NO_ANSWER = (
    *(InputChangedError.code, AnswerChangedError.code, SeriesChangedError.code),
    *(MixedPatientsError.code, BarredError.code),
)
"""Refusals that no object tells: another run answers, nobody knows in whose record, or
nothing of the release may leave."""

LEAVES = ("clinical", "research")
"""Modes whose results leave; shadow, replay and what-if results stay at home."""

NOT_WANTED = "SWITCHED_OFF"
"""Why no object tells a refusal at a site that wants none."""

log = structlog.get_logger()


class Run:
    """The steps of one run; what this process already holds of it is not fetched again."""

    def __init__(self, request: RunRequest, house: House) -> None:
        self.request = request
        self.house = house

    @cached_property
    def manifest(self) -> Manifest:
        return self.house.releases.manifest(self.request.release_digest)

    @cached_property
    def read(self) -> tuple[Case, str]:
        """The case and its digest; read again after a crash, when the journal compares."""
        case = self.house.cases.fetch(self.request, self.manifest)
        digest = case_digest(case)
        self.house.journal.input_read(self.request, case, digest)
        return case, digest

    @cached_property
    def answer(self) -> Answer:
        return self.house.staging.load(self.request.run_id)

    def open(self, _: Json) -> Json:
        """Put the run on record; one that tells of a recall has its answer already."""
        self.house.journal.opened(self.request)
        if self.request.trigger == RECALL:
            raise RefusalError("expected a release in force, found a recall", reasons=(RECALLED,))
        return {}

    def fetch(self, _: Json) -> Json:
        case, digest = self.read
        return {"input_digest": digest, "input_notes": list(case.notes)}

    def check(self, _: Json) -> Json:
        """Ask the envelope and the certificate; outside clinical mode the latter only marks."""
        case, _digest = self.read
        standing = self.house.releases.standing(self.request)
        facts = envelope.stratum_facts(case, self.manifest)
        if standing.barred:
            found = tuple(item.code for item in standing.barred)
            raise BarredError("expected a release that may run", reasons=found)
        marks, refused = clear(standing, self.request.mode, facts)
        seed_frame = self.request.seed_frame_of_reference_uid
        reasons = envelope.check(case, self.manifest) + (marks if refused else ())
        reasons += envelope.check_seed(case, self.manifest, seed_frame)
        reasons = envelope.with_fault(reasons, self.request.prescription_fault)
        if reasons:
            raise RefusalError("expected a case inside the envelope", reasons=reasons)
        certificate = standing.certificate
        return {
            "quality_flags": list(facts.flags),
            "marks": list(marks),
            "certificate_id": certificate.certificate_id if certificate else "",
            "certified_runtime": dict(certificate.runtime) if certificate else {},
        }

    def infer(self, facts: Json) -> Json:
        """Infer once: an answer that an earlier attempt left in staging is the answer."""
        case, _digest = self.read
        try:
            digest = answer_digest(self.answer)
        except NotFoundError:
            answer = withheld(self.house.workers.run(self.request, case))
            found = runtime_differences(facts.get("certified_runtime", {}), answer.runtime)
            if found and self.request.mode == "clinical":
                raise RefusalError("expected the certified runtime", reasons=found) from None
            self.answer = marked(answer, (*facts.get("marks", ()), *found))
            digest = self.house.staging.save(self.request.run_id, self.answer)
        uncertainty = self.answer.prediction.uncertainty
        return {
            "answer_digest": digest,
            "abstained": uncertainty.abstain,
            "abstention_reasons": list(uncertainty.reasons) if uncertainty.abstain else [],
        }

    def record(self, facts: Json) -> Json:
        case, _digest = self.read
        self.house.journal.require_open(self.request)
        documents = self.house.composer.compose(self.request, case, self.answer)
        self.house.journal.inferred(self.request, self.answer, documents, facts)
        return {"documents": [result.encode_document(item) for item in documents]}

    def refuse(self, facts: Json) -> Json:
        """Tell a refusal in objects of its own; what cannot be written does not undo it."""
        code, reasons = facts["refusal"], tuple(facts["reasons"])
        documents, unwritten = self._told(code, reasons)
        if unwritten == AnswerChangedError.code:
            code, reasons = unwritten, (unwritten,)
        self.house.journal.refused(self.request, reasons, documents, unwritten)
        told = [result.encode_document(item) for item in documents]
        return {"documents": told, "refusal": code, "reasons": list(reasons)}

    def _told(self, code: str, reasons: tuple[str, ...]) -> tuple[tuple[Document, ...], str]:
        """Return the objects that tell a refusal, or why there are none."""
        if code in NO_ANSWER:
            return (), code
        try:
            documents = self.house.composer.compose_refusal(self.request, reasons)
        except SuiteError as error:
            if error.retryable:
                raise
            return (), error.code
        except Exception as error:  # broad: headers that broke the reading may break this too
            log_defect("refusal_not_written", "refuse", error)
            return (), SuiteError.code
        return documents, "" if documents else NOT_WANTED

    def deliver(self, facts: Json) -> Json:
        documents = tuple(result.decode_document(item) for item in facts["documents"])
        if self.request.mode not in LEAVES or not documents:
            return {"states": [], "waiting": False}
        return attempt(self.request, self.house, documents)

    def monitor(self, _: Json) -> Json:
        try:
            self.house.monitor.observe(self.request, self.answer)
        except Exception as error:  # broad: whatever monitoring does, the result stands
            log_defect("monitoring_failed", "monitor", error)
        return {}

    def close(self, facts: Json) -> Json:
        """Close the run unless its delivery goes on; a failed run may need its answer again."""
        status, code = _ended(facts)
        reasons = tuple(facts.get("reasons") or facts.get("abstention_reasons", ()))
        if status in ("refused", "abstained"):
            self.house.journal.closed(self.request, status, "; ".join(reasons) or code)
        elif status != "delivering":
            self.house.journal.closed(self.request, status, code)
        if status != "failed":
            self.house.staging.wipe(self.request.run_id)
        states = tuple(result.decode_state(item) for item in facts.get("states", ()))
        return result.encode(
            RunResult(
                self.request.run_id,
                status,
                code,
                reasons,
                abstained=bool(facts.get("abstained")),
                documents=tuple(map(result.decode_document, facts.get("documents", ()))),
                states=states,
                next_attempt_at=result.next_attempt(states) if status == "delivering" else None,
                refusal=facts.get("refusal", ""),
            )
        )


def log_defect(event: str, step: str, error: Exception) -> None:
    """Log kind and place of a defect; its message might quote the input, so it stays out."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    log.error(event, step=step, error=type(error).__name__, where=where)


def withheld(answer: Answer) -> Answer:
    """Return the answer without findings where the plugin abstains, so that none can leave."""
    if not answer.prediction.uncertainty.abstain:
        return answer
    return replace(answer, prediction=replace(answer.prediction, findings=()), explanation=None)


def marked(answer: Answer, marks: tuple[str, ...]) -> Answer:
    """Return the answer with marks among the reasons that its objects and record carry."""
    if not marks:
        return answer
    uncertainty = answer.prediction.uncertainty
    noted = replace(uncertainty, reasons=(*uncertainty.reasons, *marks))
    return replace(answer, prediction=replace(answer.prediction, uncertainty=noted))


def attempt(request: RunRequest, house: House, documents: tuple[Document, ...]) -> Json:
    """Bring the documents further, and keep the state of each."""
    try:
        states = house.delivery.deliver(request, documents)
    except DoorError as error:
        if not error.retryable:
            log.warning("delivery_refused", code=error.code, detail=str(error))
        return {"states": [], "waiting": error.retryable, "code": error.code}
    house.journal.delivered(request, states)
    waiting = not all(result.is_final(state) for state in states)
    return {"states": [result.encode_state(state) for state in states], "waiting": waiting}


def _ended(facts: Json) -> tuple[str, str]:
    """Return status and code of a run whose steps were all taken, or that was stopped."""
    if facts.get("stopped") == "failed":
        return "failed", facts["code"]
    if facts["waiting"]:
        return "delivering", facts.get("code", "")
    if any(state["state"] == "failed" for state in facts["states"]):
        return "failed", DoorError.code
    if "code" in facts:
        return "failed", facts["code"]
    if "refusal" in facts:
        return "refused", facts["refusal"]
    return ("abstained" if facts["abstained"] else "done"), ""
