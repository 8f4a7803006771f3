"""The plan of a run: which release on which cohort, under which conditions, with which seed.

All that the results depend on stands here, so that the run's id is the digest of its plan: the
same question is the same run, and asking it again goes on where it stopped.

Read next: `adapters/validation/running.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from audit import canonical
from audit.errors import ConfigurationError, RecordError
from plugins.host.manifest import Input
from validation.cohort.manifest import Cohort, CohortCase
from validation.cohort.structures import ROLE as STRUCTURES
from validation.harness.conditions import BASELINE, SWEEPS, given_after
from validation.harness.results import Condition

PHANTOM = "phantom"
"""Case and condition of the geometry known-answer test."""
LABORATORY = "laboratory"
"""Site of the phantoms: no patient was there."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run of the harness.

    Parameters
    ----------
    metric_pack : version and digest of the conformance pack that passed.
    method : held-out | cross-fitted.
    jitter_mm : reach of the crop that every case is put through first; 0 leaves it whole.
    givens : sets of roles that the baseline is asked with, the fullest first (``ct+pet``).
    sweeps : name and level of every change.
    sweep_cases, repeat_cases : how many cases, chosen by the seed; 0 means all.
    repeats : how often the baseline is asked again, each time of a new worker process.
    explained : conditions whose answers are explained too.
    phantoms : presentations of the geometry known-answer test that the release answers.
    """

    release_digest: str
    cohort_digest: str
    criteria_digest: str
    metric_pack: str
    method: str
    seed: int = 20261126
    jitter_mm: float = 0.0
    givens: tuple[str, ...] = ("ct+pet", "ct")
    sweeps: tuple[tuple[str, float], ...] = ()
    sweep_cases: int = 0
    repeats: int = 1
    repeat_cases: int = 3
    explained: tuple[str, ...] = (BASELINE,)
    phantoms: int = 0

    @property
    def run_id(self) -> str:
        """The first 32 hexadecimal digits of the SHA-256 of the canonical plan (RFC 8785)."""
        return hashlib.sha256(canonical.encode(encode(self))).hexdigest()[:32]

    def conditions(self, cohort: Cohort, case: CohortCase) -> tuple[Condition, ...]:
        """Return the conditions of one case in the order in which they are taken."""
        givens = [item for item in self.givens if set(item.split("+")) <= set(case.inputs)]
        found = [Condition(given=item) for item in givens]
        if not givens or case.expected == "refusal":
            return tuple(found or [Condition(given="+".join(sorted(case.inputs)))])
        full = givens[0]
        if case.case_id in self._chosen(cohort, self.sweep_cases, "sweep"):
            found += [
                Condition(name, level, given_after(full, name))
                for name, level in self.sweeps
                if SWEEPS[name].needs in ("", *full.split("+"))
                and not (SWEEPS[name].moves and STRUCTURES in full.split("+"))
            ]
        if case.case_id in self._chosen(cohort, self.repeat_cases, "repeat"):
            found += [Condition(given=full, repeat=n) for n in range(1, self.repeats + 1)]
        return tuple(found)

    def phantom_conditions(self) -> tuple[Condition, ...]:
        """Return the presentations of the geometry test, numbered by their level."""
        given = self.givens[0] if self.givens else ""
        return tuple(Condition(PHANTOM, float(n), given) for n in range(self.phantoms))

    def _chosen(self, cohort: Cohort, count: int, purpose: str) -> set[str]:
        """Return ids of cases that the seed chooses, independent of the cohort's order."""
        ids = [item.case_id for item in cohort.cases if item.expected != "refusal"]
        ordered = sorted(ids, key=lambda name: _lot(self.seed, purpose, name))
        return set(ordered[:count] if count else ordered)


def sweeps_of(words: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Return the changes that words ask for: ``all``, ``short``, ``none``, ``noise``, ``noise=40``.

    Raises
    ------
    ConfigurationError : there is no such sweep, or a level is not a number.
    """
    found: list[tuple[str, float]] = []
    for word in words:
        name, _, level = word.partition("=")
        if word in ("all", "short"):
            found += [(s.name, v) for s in SWEEPS.values() for v in _levels(word, s.levels)]
        elif word == "none":
            continue
        elif name not in SWEEPS:
            raise ConfigurationError(
                f"expected a sweep of {', '.join(SWEEPS)}, found {name[:40]!r}"
            )
        elif level:
            try:
                found.append((name, float(level)))
            except ValueError as error:
                raise ConfigurationError(f"expected a level as a number for {name}") from error
        else:
            found += [(name, value) for value in SWEEPS[name].levels]
    return tuple(dict.fromkeys(found))


def givens_of(inputs: Sequence[Input]) -> tuple[str, ...]:
    """Return the sets of roles that a plugin is asked with: all that it takes, all that it needs.

    Examples
    --------
    >>> givens_of((Input("ct", "CT"), Input("pet", "PT", required=False)))
    ('ct+pet', 'ct')
    """
    whole = [item.role for item in inputs if item.modality != "RTPLAN"]
    needed = [item.role for item in inputs if item.required]
    return tuple(dict.fromkeys("+".join(sorted(roles)) for roles in (whole, needed)))


def encode(plan: RunPlan) -> dict[str, Any]:
    """Return the plan as JSON values; inverse of `decode`."""
    values = asdict(plan)
    values["givens"] = list(plan.givens)
    values["sweeps"] = [[name, level] for name, level in plan.sweeps]
    values["explained"] = list(plan.explained)
    return values


def decode(values: Mapping[str, Any]) -> RunPlan:
    """Return the plan that JSON values state.

    Raises
    ------
    RecordError : they are no plan.
    """
    try:
        found = dict(values)
        found["givens"] = tuple(map(str, found["givens"]))
        found["explained"] = tuple(map(str, found["explained"]))
        found["sweeps"] = tuple((str(name), float(level)) for name, level in found["sweeps"])
        return RunPlan(**found)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(
            "expected the plan of a validation run, found another document"
        ) from error


def _levels(word: str, levels: tuple[float, ...]) -> tuple[float, ...]:
    return levels if word == "all" else levels[:1]


def _lot(seed: int, purpose: str, case_id: str) -> str:
    return hashlib.sha256(f"{seed}\x00{purpose}\x00{case_id}".encode()).hexdigest()
