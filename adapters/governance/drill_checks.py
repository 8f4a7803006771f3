"""Was the drill passed?  What came of it, against what lies in the archive.

Read next: `drill.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapters.compose import Site
from adapters.fhir.marks import OF_RECALL
from adapters.governance.drill import Exercise
from adapters.governance.drill_papers import APPROVER, PHYSICIST
from adapters.governance.drill_site import PLUGIN
from adapters.governance.recalling import LEAVES, read_recall
from adapters.technical_file.build import source_room
from governance.approvals import approvals
from governance.history import in_use_at
from governance.recall import ARRIVED
from governance.technical_file.bundle import KIND as TECHNICAL_FILE
from plugins.host.identity import RECALL

LIMIT_S = 60.0
WITHDRAWN = "withdrawn"
DICOM = ("RTSTRUCT", "SEG", "SR", "PMAP", "SC")


@dataclass(frozen=True, slots=True)
class Check:
    """One question to the drill, its answer, and what was found."""

    name: str
    ok: bool
    found: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a drill showed: checks that all have to hold, and figures."""

    checks: tuple[Check, ...]
    figures: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Return whether every check holds."""
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        rows = [{"name": c.name, "ok": c.ok, "found": c.found} for c in self.checks]
        return {"passed": self.passed, "checks": rows, "figures": self.figures}


def examine(site: Site, exercise: Exercise) -> Report:
    """Return the report of an exercise, on the site (opened again) that it was made on."""
    made, withdrawals = _objects(site, exercise)
    checks = (
        _documented(site, exercise),
        _lost(site, exercise, made),
        _doubled(site, made),
        _in_time(exercise),
        _ended_where_begun(site, exercise),
        _verified(exercise),
        _recall(site, exercise, made),
        _marked(site, exercise, withdrawals),
        _withheld(site, exercise, made),
        _history(site, exercise),
        _log(site),
    )
    return Report(checks, _figures(site, exercise))


def _documented(site: Site, exercise: Exercise) -> Check:
    """Both releases came into clinical use by every gate: complete file, certificate, two persons.

    What a release that came into use has on record is read again; no gate was left out.
    """
    gates = [type(getattr(gate, "__self__", gate)).__name__ for gate in site.gates]
    complete, persons, certified = [], [], []
    with site.database.reading() as transaction:
        for digest in (exercise.one, exercise.two):
            file = transaction.governed(TECHNICAL_FILE, digest)
            complete.append(file is not None and file.content["missing"] == [])
            signed = {item.person for item in approvals(transaction, digest)}
            persons.append(len(signed))
            certified.append(site.registry.certificate_standing(transaction, digest).holds)
    mode, desk = site.configuration.site.mode, len(source_room(site).desk().gates())
    ok = mode == "clinical" and all(complete) and all(certified) and min(persons) >= 2
    return Check(
        "both releases documented, certified and approved",
        ok and gates.count("Desk") == desk and "CertificateGate" in gates,
        f"{mode} mode, {len(gates)} gates, {persons} persons",
    )


def _ended_where_begun(site: Site, exercise: Exercise) -> Check:
    """Every run that was at work when the release was left ended on that release."""
    assert exercise.back is not None
    finishing = exercise.back.drained.finishing
    with site.database.reading() as transaction:
        rows = [transaction.run(run_id) for run_id in finishing]
    ended = [
        row for row in rows
        if row is not None and row.status == "done" and row.release_digest == exercise.two
    ]  # fmt: skip
    return Check(
        "work in progress ended where it began",
        len(ended) == len(finishing),
        f"{len(ended)} of {len(finishing)}",
    )


def _objects(site: Site, exercise: Exercise) -> tuple[dict[str, dict[str, str]], set[str]]:
    """Return for each study its result objects in the archive, with the release each names.

    Besides: the runs whose report in the archive withdraws a result.
    """
    digests = {exercise.one: "one", exercise.two: "two"}
    found: dict[str, dict[str, str]] = {}
    withdrawals: set[str] = set()
    archive = site.archives["pacs"]
    with site.database.reading() as transaction:
        own = {
            patient.study_instance_uid: transaction.own_series_uids(patient.study_instance_uid)
            for patient in exercise.patients
        }
        withdrawing = {
            item.sop_instance_uid: row.run_id
            for row in transaction.runs(limit=100_000)
            if row.trigger == RECALL
            for item in transaction.documents(row.run_id)
        }
    for study, series in own.items():
        found[study] = {}
        for uid in series:
            for reference, data in zip(
                archive.search_instances(study, uid),
                archive.retrieve_series(study, uid),
                strict=True,
            ):
                if reference.sop_instance_uid in withdrawing:
                    withdrawals.add(withdrawing[reference.sop_instance_uid])
                    continue
                named = [key for digest, key in digests.items() if digest[7:].encode() in data]
                found[study][reference.sop_instance_uid] = "+".join(named)
    return found, withdrawals


def _lost(site: Site, exercise: Exercise, made: dict[str, dict[str, str]]) -> Check:
    with site.database.reading() as transaction:
        answered = {
            row.study_instance_uid
            for row in transaction.runs(limit=100_000)
            if row.mode != "shadow" and row.status == "done"
        }
    lost = [study for study, objects in made.items() if study not in answered or not objects]
    return Check(
        "no study lost", not lost, f"{len(made) - len(lost)} of {exercise.phases.total} answered"
    )


def _doubled(site: Site, made: dict[str, dict[str, str]]) -> Check:
    """Each study has the objects of exactly one run of one release, and one FHIR bundle."""
    with site.database.reading() as transaction:
        runs: dict[str, list[str]] = {study: [] for study in made}
        for row in transaction.runs(limit=100_000):
            if row.mode != "shadow" and row.status == "done":
                runs[row.study_instance_uid].append(row.run_id)
        expected = {
            study: {
                item.sop_instance_uid
                for run_id in ids
                for item in transaction.documents(run_id)
                if item.kind in DICOM
            }
            for study, ids in runs.items()
        }
    doubled = [
        study
        for study, objects in made.items()
        if len(runs[study]) > 1 or set(objects) != expected[study] or len(set(objects.values())) > 1
    ]
    told = [text for text in _bundles(site) if OF_RECALL not in text]
    bundles = sum(f'"code": "{WITHDRAWN}"' not in text for text in told)
    fits = bundles == sum(len(ids) for ids in runs.values())
    count = sum(len(objects) for objects in made.values())
    return Check(
        "no study answered twice",
        not doubled and fits,
        f"{len(doubled)} doubled; {count} objects and {bundles} bundles arrived",
    )


def _in_time(exercise: Exercise) -> Check:
    assert exercise.back is not None  # the exercise went through
    found = f"switched in {exercise.back.seconds:.2f} s, drained in {exercise.drained_s:.1f} s"
    under_load = exercise.open_at_rollback.get("queued", 0) > 0
    return Check(
        f"rolled back under load within {LIMIT_S:.0f} s",
        under_load and max(exercise.back.seconds, exercise.drained_s) < LIMIT_S,
        found,
    )


def _verified(exercise: Exercise) -> Check:
    assert exercise.back is not None
    right = exercise.back.target.release_digest == exercise.one
    signed = bool(exercise.back.verified_by)
    return Check(
        "the old release verified byte by byte", right and signed, exercise.back.verified_by
    )


def _recall(site: Site, exercise: Exercise, made: dict[str, dict[str, str]]) -> Check:
    """The list names every object in the archive that the left release made, and no other."""
    truth = {
        uid for objects in made.values() for uid, release in objects.items() if release == "two"
    }
    found = read_recall(site, exercise.two, PHYSICIST)
    listed = {
        item.sop_instance_uid
        for run in found.runs
        for item in run.documents
        if item.target == "pacs" and item.state in ARRIVED and item.sop_instance_uid
    }
    patients = {
        site.pseudonyms.subject(study) for study, objects in made.items() if "two" in
        objects.values()
    }  # fmt: skip
    return Check(
        "recall list equal to the archive",
        listed == truth and set(found.patients) == patients,
        f"{len(found.runs)} results, {len(listed)} objects, {len(found.patients)} patients",
    )


def _marked(site: Site, exercise: Exercise, withdrawals: set[str]) -> Check:
    """Every recalled result is withdrawn outside: by a report, and by a FHIR mark with reason."""
    marks = "".join(text for text in _bundles(site) if OF_RECALL in text)
    with site.database.reading() as transaction:
        wanted = [
            row
            for row in transaction.runs_of(exercise.two)
            if row.mode in LEAVES and row.trigger != RECALL and row.status == "done"
        ]
    done = [
        row
        for row in wanted
        if row.superseded_by in withdrawals and f'"code": "{row.superseded_by}"' in marks
    ]
    return Check(
        "recalled results marked as withdrawn",
        bool(wanted) and len(done) == len(wanted),
        f"{len(done)} of {len(wanted)}, objects kept",
    )


def _bundles(site: Site) -> list[str]:
    folder = site.home.root.parent / "fhir"
    return [path.read_text("utf-8") for path in sorted(folder.rglob("*.json"))]


def _withheld(site: Site, exercise: Exercise, made: dict[str, dict[str, str]]) -> Check:
    """Nothing of a run in shadow is in the archive or among the bundles."""
    arrived = {uid for objects in made.values() for uid in objects}
    bundles = "".join(_bundles(site))
    with site.database.reading() as transaction:
        shadows = [row for row in transaction.runs(limit=100_000) if row.mode == "shadow"]
        leaked = [
            row.run_id
            for row in shadows
            if row.run_id in bundles
            or transaction.deliveries(row.run_id)
            or any(d.sop_instance_uid in arrived for d in transaction.documents(row.run_id))
        ]
    expected = exercise.phases.shadow + exercise.phases.inside
    return Check(
        "nothing of a run in shadow left",
        not leaked and len(shadows) == expected,
        f"{len(shadows)} runs in shadow, {len(leaked)} left",
    )


def _history(site: Site, exercise: Exercise) -> Check:
    with site.database.reading() as transaction:
        rows = transaction.deployment_history(PLUGIN)
    name = site.configuration.site.name
    said = []
    for key in ("one", "two", "back"):
        found = in_use_at(rows, name, exercise.moments[key])
        said.append(
            [
                (item.deployment.release_digest, item.deployment.decided_by, item.on)
                for item in found
                if item.deployment.state == "active"
            ]
        )
    decided = [(exercise.one, APPROVER), (exercise.two, APPROVER), (exercise.one, PHYSICIST)]
    expected = [[(digest, f"{who.account_id}", "certificate")] for digest, who in decided]
    return Check(
        "history right: release, person, certificate",
        said == expected,
        " → ".join(row.state for row in rows if row.release_digest == exercise.two),
    )


def _log(site: Site) -> Check:
    summary = site.verify_log()
    return Check("audit log verified", True, f"{summary.tree_size} records")


def _figures(site: Site, exercise: Exercise) -> dict[str, Any]:
    assert exercise.back is not None
    phases, drained = exercise.phases, exercise.back.drained
    with site.database.reading() as transaction:
        pairs = transaction.comparisons(exercise.two, exercise.moments["one"])
    values = [row.pair.agreement for row in pairs]
    return {
        "studies": phases.total,
        "phases": {
            "before": phases.before, "shadow": phases.shadow, "canary": phases.inside,
            "beside the canary": phases.outside, "active": phases.active, "load": phases.load,
        },
        "open at rollback": exercise.open_at_rollback,
        "finished on the left release": len(drained.finishing),
        "rerouted": len(drained.rerouted),
        "cancelled": len(drained.cancelled),
        "seconds": {
            "switch": round(exercise.back.seconds, 3),
            "drained": round(exercise.drained_s, 3),
            "all answered": round(exercise.settled_s, 3),
            "all marked": round(exercise.marked_s, 3),
        },
        "agreement": {"n": len(values), "lowest": round(min(values), 4) if values else None},
    }  # fmt: skip
