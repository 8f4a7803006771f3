"""Read acceptance criteria from JSON, of both schemas, and write them; the digest names them.

    osteon.criteria/1: {criteria: [{id, given, stratum, metric, statistic, at_least|at_most}]}

The digest is over the canonical JSON (RFC 8785) of the document as it was read, so that a
changed space is no change and a changed limit is one.

Read next: `judging.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from audit import canonical
from audit.errors import RecordError, SuiteError
from governance.release import digest_of
from validation.cohort.strata import StratumRule, with_mandatory
from validation.criteria.document import (
    FIRST_SCHEMA,
    SCHEMA,
    Criteria,
    CriteriaError,
    Criterion,
    malformed,
)

_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError, RecordError)
_SIZE_LIMIT = 1_000_000
_SPECIAL: Mapping[str, str] = {
    "mean_dsc_kept": "abstention",
    "signed_mean_centroid_error_voxels": "geometry",
    "seconds_on_two_cores": "latency",
    "explanation_seconds_on_two_cores": "latency",
}
"""Metric of the first schema -> kind of the second."""


def read_criteria(raw: bytes) -> Criteria:
    """Return the criteria of a document of either schema.

    Raises
    ------
    CriteriaError : it is none (CRITERIA_MALFORMED).
    """
    try:
        if len(raw) > _SIZE_LIMIT:
            raise ValueError("size")
        values = json.loads(raw)
        if values["schema"] == FIRST_SCHEMA:
            return _first(values)
        if values.pop("schema") != SCHEMA:
            raise ValueError("schema")
        values["criteria"] = tuple(_criterion(item) for item in values["criteria"])
        rules = tuple(StratumRule(**item) for item in values.get("strata", ()))
        return Criteria(**{**values, "strata": with_mandatory(rules)})
    except CriteriaError:
        raise
    except (*_MALFORMED, SuiteError) as error:
        raise malformed(f"acceptance criteria, found a fault: {type(error).__name__}") from error


def encode(criteria: Criteria) -> bytes:
    """Return criteria of the second schema as canonical JSON; `read_criteria` reads them."""
    values = {item.name: getattr(criteria, item.name) for item in fields(Criteria)}
    values["criteria"] = [_stated(item) for item in criteria.criteria]
    values["strata"] = [dict(asdict(rule)) for rule in with_mandatory(criteria.strata)]
    return canonical.encode(values | {"schema": SCHEMA})


def digest_of_document(raw: bytes) -> str:
    """Return the digest of a document, whatever its spaces and order of keys.

    Raises
    ------
    CriteriaError : the bytes are no JSON (CRITERIA_MALFORMED).
    """
    try:
        return digest_of(canonical.encode(json.loads(raw)))
    except (ValueError, RecursionError, RecordError) as error:
        raise malformed("a JSON document") from error


def _stated(item: Criterion) -> dict[str, Any]:
    values = asdict(item)
    values["id"] = values.pop("criterion_id")
    return {key: value for key, value in values.items() if value is not None}


def _criterion(values: Mapping[str, Any]) -> Criterion:
    found = dict(values)
    return Criterion(criterion_id=found.pop("id"), **found)


def _first(values: Mapping[str, Any]) -> Criteria:
    """Return the criteria of a document of the first schema in terms of the second."""
    smallest = int(values["smallest_stratum"])
    return Criteria(
        plugin=str(values["plugin"]),
        method=str(values["method"]),
        criteria=tuple(_first_criterion(item) for item in values["criteria"]),
        strata=with_mandatory(()),
        smallest_stratum=smallest,
        schema=FIRST_SCHEMA,
    )


def _first_criterion(item: Mapping[str, Any]) -> Criterion:
    kind = _SPECIAL.get(item["metric"]) or ("floor" if "at_least" in item else "ceiling")
    is_time = kind == "latency"
    return Criterion(
        criterion_id=str(item["id"]),
        kind=kind,
        reason=str(item["reason"]),
        metric=str(item["metric"]).replace("mean_dsc_kept", "dsc"),
        stratum=str(item["stratum"]),
        given="" if kind == "geometry" else str(item["given"]),
        statistic=item["statistic"]
        if item["statistic"] in ("mean", "interval_low", "share")
        else ("highest" if is_time else "mean"),
        at_least=item.get("at_least"),
        at_most=item.get("at_most"),
    )
