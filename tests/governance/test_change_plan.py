"""The change plan: complete or refused, signed or refused, and the same after signing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import canonical
from audit.errors import ConfigurationError, SignatureError, SuiteError
from governance.change.plan_reading import read_plan
from governance.change.plan_signing import PURPOSE, check_plan, open_plan, sign_plan
from governance.signing import TrustedKey
from tests.simulators.change_plans import plan_document

NOW = datetime(2026, 11, 25, tzinfo=UTC)
KEYS = {name: Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)
        for n, name in enumerate(("prrc", "lead"))}  # fmt: skip
TRUST = tuple(
    TrustedKey(name, PURPOSE, key.public_key().public_bytes_raw(), NOW - timedelta(days=1))
    for name, key in KEYS.items()
)


def signed(document: dict[str, Any] | None = None, name: str = "prrc") -> bytes:
    """Return the plan signed by one key."""
    return sign_plan(document or plan_document(), KEYS[name], name, NOW)


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the plan with one value set, or removed where it is None."""
    document = copy.deepcopy(plan_document())
    *way, last = path.split(".")
    place: Any = document
    for key in way:
        place = place[int(key) if key.isdigit() else key]
    if value is None:
        del place[int(last) if isinstance(place, list) else last]
    else:
        place[last] = value
    return document


@pytest.mark.reg("FDA-PCCP1")
def test_a_signed_plan_opens_as_the_same_plan() -> None:
    """What was signed is what opens, with every key that signed it."""
    plan = read_plan(plan_document())
    once = open_plan(signed(), TRUST)
    assert (once.plan, once.key_ids) == (plan, ("prrc",))
    both = open_plan(sign_plan(canonical.decode(signed()), KEYS["lead"], "lead", NOW), TRUST)
    assert (both.plan.digest, both.key_ids) == (plan.digest, ("prrc", "lead"))
    again = sign_plan(both.document, KEYS["prrc"], "prrc", NOW)
    assert open_plan(again, TRUST).key_ids == ("lead", "prrc")


REQUIRED = (
    *("schema", "plugin", "version", "baseline", "golden_replay_cases", "cumulative_impact"),
    *("budget", "modification", "step", "impact", "modification.0.id", "modification.0.kinds"),
    *("modification.0.rationale", "modification.0.scope", "modification.0.scope.sites"),
    *("modification.0.bounds", "modification.0.data_plan", "modification.0.retrain_recipe"),
    *("modification.0.acceptance_spec", "modification.0.metrics", "modification.0.risk_ids"),
    *("modification.0.monitoring_days", "modification.0.rollback_trigger"),
    *("modification.0.label_impact", "modification.0.approver", "step.0.stratum"),
    *("step.0.metric", "step.0.statistic", "step.0.at_least", "step.0.smallest_count"),
    *("impact.0.harm", "budget.max_updates", "budget.max_age_days", "budget.min_days_between"),
    *("budget.vs_baseline", "budget.per_update", "budget.path_length_factor"),
    *("budget.alpha_total", "budget.sealed_set_uses", "budget.new_data_fraction"),
)


@pytest.mark.reg("FDA-PCCP1")
@pytest.mark.parametrize("path", REQUIRED)
def test_a_plan_with_a_gap_is_refused(path: str) -> None:
    """A plan without one of its fields is no plan; the message names the place."""
    with pytest.raises(ConfigurationError, match=path.rsplit(".", maxsplit=1)[-1]):
        read_plan(changed(path, None))


WRONG: tuple[tuple[str, Any, str], ...] = (
    ("modification.0.automatic", True, "unattended"),
    ("budget.unattended_updates", 1, "unattended"),
    ("modification.0.kinds", ["architecture"], "kinds"),
    ("modification.0.kinds", ["new_population"], "kinds"),
    ("modification.0.local", True, "local"),
    ("modification.0.bounds", {"training.newfraction": [0, 1]}, "training.newfraction"),
    ("modification.0.bounds", {"training.new_fraction": [1, 0]}, "lowest"),
    ("modification.0.surprise", 1, "surprise"),
    ("step.0.at_most", 1, "either at_least or at_most"),
    ("step.0.modifications", ["M9"], "modifications that exist"),
    ("step.1.stratum", "all", "age_lt_18"),
    ("step.1.id", "S1", "id of its own"),
    ("budget.per_update", {"d_dsc_mean": 0.01}, "same measures"),
    ("budget.alpha_total", 1.5, "between 0 and 1"),
    ("budget.hard_stops", ["fire"], "hard_stops"),
    ("budget.vs_baseline", {"d_dsc_mean": float("nan"), "d_hd95_mm": 1}, "finite"),
    ("udi_in_plan", "none", "PI or DI"),
    ("modification.0.monitoring_days", 31, "monitoring window"),
    ("baseline", "sha256:1", "digest"),
)


@pytest.mark.reg("FDA-PCCP1")
@pytest.mark.parametrize(("path", "value", "words"), WRONG)
def test_a_plan_that_promises_the_impossible_is_refused(path: str, value: Any, words: str) -> None:
    """No unattended update, no unplannable kind, no bound that nothing measures, no open scope."""
    with pytest.raises(ConfigurationError, match=words):
        read_plan(changed(path, value))


@pytest.mark.reg("FDA-PCCP3")
def test_the_impact_matrix_has_no_gap() -> None:
    """Modification × step × risk: each has its benefit and harm, or the plan is refused."""
    rows = plan_document()["impact"]
    assert len(rows) == 2 * 8 + 2  # two steps for each of eight modifications, one for two
    for number, row in enumerate(rows):
        kept = [*rows[:number], *rows[number + 1 :]]
        with pytest.raises(ConfigurationError, match=rf"{row['modification']} × {row['step']}"):
            read_plan(plan_document(impact=kept))


def test_a_modification_without_any_step_is_refused() -> None:
    """What no step of the protocol looks at cannot be inside the plan."""
    steps = [{**step, "modifications": ["M1"]} for step in plan_document()["step"]]
    with pytest.raises(ConfigurationError, match="M2"):
        read_plan(plan_document(step=steps, impact=plan_document()["impact"]))


def _tampered(field: str) -> bytes:
    document = canonical.decode(signed())
    document["plan"][field] = {"budget": {**document["plan"]["budget"], "max_updates": 40}}.get(
        field, "other"
    )
    return canonical.encode(document)


BROKEN: dict[str, Callable[[], bytes]] = {
    "another limit": lambda: _tampered("budget"),
    "another version": lambda: _tampered("version"),
    "no signature": lambda: canonical.encode(
        {"schema": "osteon.signed_change_plan/1", "plan": plan_document(), "signatures": []}
    ),
    "unknown key": lambda: sign_plan(plan_document(), KEYS["prrc"], "stranger", NOW),
    "one good and one bad signature": lambda: sign_plan(
        canonical.decode(signed()), KEYS["prrc"], "lead", NOW
    ),
}


@pytest.mark.reg("FDA-PCCP1")
@pytest.mark.parametrize("name", BROKEN)
def test_a_plan_that_was_not_signed_so_is_refused(name: str) -> None:
    """One changed value, a strange key or a missing signature: the plan does not open."""
    with pytest.raises(SignatureError):
        open_plan(BROKEN[name](), TRUST)


def test_a_revoked_key_signs_no_plan() -> None:
    """A key that was taken back, or is trusted for something else, does not count."""
    key = TRUST[0]
    revoked = TrustedKey(key.key_id, PURPOSE, key.public_key, key.valid_from, NOW)
    other = TrustedKey(key.key_id, "release", key.public_key, key.valid_from)
    for trust in ((revoked,), (other,), ()):
        with pytest.raises(SignatureError):
            open_plan(signed(), trust)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.integers(0, 20_000))
def test_no_bytes_open_but_the_signed_ones(raw: bytes | int) -> None:
    """Strange bytes, and every cut or flipped byte of a signed plan, end in a known error."""
    if isinstance(raw, int):
        content = bytearray(signed())
        content[raw % len(content)] ^= 1
        raw = bytes(content)
    with pytest.raises(SuiteError):
        open_plan(raw, TRUST)


def test_a_plan_nested_without_end_is_refused() -> None:
    """A file that would exhaust the stack is no plan."""
    with pytest.raises(ConfigurationError):
        open_plan(b"[" * 100_000 + b"]" * 100_000, TRUST)


@pytest.mark.parametrize("document", [None, [], 3, {"schema": "x"}])
def test_a_document_of_another_kind_is_no_plan(document: Any) -> None:
    """What is kept under the name of a plan must be one."""
    with pytest.raises(ConfigurationError):
        check_plan(document, TRUST)
