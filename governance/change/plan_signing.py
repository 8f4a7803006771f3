"""A change plan as a signed file: the plan, and signatures over its digest beside it.

`sign_plan` and `open_plan` are a pair: a plan that was signed opens as the same plan with
the keys that signed it.  Keys need the purpose ``plan`` in ``keys/trust.json``.

Read next: `plan_reading.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit import canonical
from audit.errors import ConfigurationError, RecordError, SignatureError
from governance.change.plan import ChangePlan
from governance.change.plan_reading import read_plan
from governance.signing import SecretKey, TrustedKey, sign, verify_signature

SIGNED_SCHEMA = "osteon.signed_change_plan/1"
PURPOSE = "plan"


@dataclass(frozen=True, slots=True)
class SignedPlan:
    """A plan whose signatures were checked.

    Parameters
    ----------
    key_ids : trusted keys that signed it, at least one.
    document : the signed file as JSON values; what is kept at a site.
    """

    plan: ChangePlan
    key_ids: tuple[str, ...]
    document: Mapping[str, Any]


def sign_plan(
    document: Mapping[str, Any], key: SecretKey, key_id: str, signed_at: datetime
) -> bytes:
    """Return the signed file of a plan; a file that is signed already gets one signature more.

    A second signature of the same key takes the place of its first.

    Raises
    ------
    ConfigurationError : the plan is not complete; nothing was signed.
    """
    signatures: list[Any] = []
    if document.get("schema") == SIGNED_SCHEMA:
        signatures = [row for row in _signatures(document) if _key_of(row) != key_id]
        document = _inner(document)
    plan = read_plan(document)
    signatures.append(sign(plan.digest, key, key_id, PURPOSE, signed_at).decode())
    return canonical.encode(
        {"schema": SIGNED_SCHEMA, "plan": dict(plan.content), "signatures": signatures}
    )


def open_plan(raw: bytes, trust: tuple[TrustedKey, ...]) -> SignedPlan:
    """Return the plan in a signed file; every signature in it must hold.

    Raises
    ------
    ConfigurationError : it is no signed plan, or the plan in it is not complete.
    SignatureError : there is no signature, or one of them does not hold.
    """
    try:
        document = canonical.decode(raw)
    except (RecordError, RecursionError) as error:
        raise ConfigurationError(
            "expected a signed change plan, found another file",
            advice="Sign the plan with `osteon change plan sign`.",
        ) from error
    return check_plan(document, trust)


def check_plan(document: Any, trust: tuple[TrustedKey, ...]) -> SignedPlan:
    """Return the plan of a decoded signed file, as `open_plan` does."""
    if not isinstance(document, Mapping) or document.get("schema") != SIGNED_SCHEMA:
        raise ConfigurationError(
            f"expected {SIGNED_SCHEMA}, found another document",
            advice="Sign the plan with `osteon change plan sign`.",
        )
    plan = read_plan(_inner(document))
    keys = tuple(
        verify_signature(row.encode(), plan.digest, trust, PURPOSE).key_id
        for row in _signatures(document)
    )
    if not keys:
        raise SignatureError(f"expected a signature on plan {plan.digest}, found none")
    return SignedPlan(plan, keys, document)


def _inner(document: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = document.get("plan")
    if not isinstance(inner, Mapping):
        raise ConfigurationError("expected a plan inside the signed file, found none")
    return inner


def _key_of(signature: str) -> str:
    try:
        return str(json.loads(signature)["key_id"])
    except (ValueError, KeyError, TypeError) as error:
        raise SignatureError("expected a signature document, found something else") from error


def _signatures(document: Mapping[str, Any]) -> list[str]:
    rows = document.get("signatures")
    if not isinstance(rows, list) or not all(isinstance(row, str) for row in rows):
        raise SignatureError("expected a list of signatures in the plan, found none")
    return rows
