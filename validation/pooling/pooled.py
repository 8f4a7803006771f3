"""Reports of several sites together: who signed, whether they are of one thing, what they show.

Each report counts by the signature of its site's key (purpose ``report``).  Another release,
other criteria or other metrics, the same site twice, and a report of one site alone are refused.

Source: `effects.py`.

Read next: `adapters/validation/peers.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from audit import canonical
from audit.errors import RecordError, RefusalError
from governance.sealed import open_sealed
from governance.signing import TrustedKey
from validation.pooling.aggregate import SCHEMA
from validation.pooling.effects import SiteEffect, pool

SAME = ("release_digest", "criteria_digest", "metric_pack")


class PoolingError(RefusalError):
    """Reports of sites cannot be pooled."""

    code = "POOLING"
    advice = "Ask each site for its report of this release, by these criteria and metrics."


def read_site_report(raw: bytes, trust: tuple[TrustedKey, ...]) -> dict[str, Any]:
    """Return the report of a site, signed by a key that counts.

    Raises
    ------
    PoolingError : it is no report of a site (SITE_REPORT_MALFORMED).
    SignatureError : its signature is missing or wrong, or the key is not trusted.
    """
    try:
        document = canonical.decode(raw)
        if document["schema"] != SCHEMA:
            raise ValueError("schema")
    except (RecordError, ValueError, KeyError, TypeError) as error:
        raise _refused("SITE_REPORT_MALFORMED", "the report of a site", "other bytes") from error
    return open_sealed(document, trust)


def pool_reports(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return every figure that two sites or more tell, pooled, with its sites.

    Raises
    ------
    PoolingError : fewer than two sites, one of them twice, or of different things.
    """
    sites = [str(item["site"]) for item in reports]
    if len(reports) < 2:
        raise _refused("ONE_SITE", "two sites or more", str(len(reports)))
    if len(set(sites)) < len(sites) or len({r["report_digest"] for r in reports}) < len(sites):
        raise _refused("SITE_TWICE", "each site once", ", ".join(sorted(sites)))
    for name in SAME:
        found = sorted({str(item[name]) for item in reports})
        if len(found) > 1:
            raise _refused(f"{name.upper()}_DIFFERS", found[0], found[1])
    keys = sorted({_key(row) for item in reports for row in item["figures"]})
    pooled = [row for key in keys if (row := _pooled(key, reports)) is not None]
    first = reports[0]
    return {
        **{name: first[name] for name in (*SAME, "plugin", "version", "headline", "metrics")},
        "sites": sorted(sites),
        "reports": {str(item["site"]): item["report_digest"] for item in reports},
        "withheld": {str(item["site"]): list(item["withheld"]) for item in reports},
        "pooled": pooled,
    }


def _pooled(
    key: tuple[str, str, str], reports: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Return one figure over the sites that tell it; None where fewer than two do."""
    rows = {
        str(item["site"]): row
        for item in reports
        for row in item["figures"]
        if _key(row) == key and row["standard_error"] > 0 and row["patients"] >= 2
    }
    if len(rows) < 2:
        return None
    effects = [
        SiteEffect(site, row["mean"], row["standard_error"], row["patients"])
        for site, row in sorted(rows.items())
    ]
    found = asdict(pool(effects))
    found["predicted"] = list(found["predicted"]) if found["predicted"] else None
    found["weights"] = list(found["weights"])
    own = [
        {"site": site, **{k: row[k] for k in ("mean", "low", "high", "n", "patients")}}
        for site, row in sorted(rows.items())
    ]
    return {"given": key[0], "stratum": key[1], "metric": key[2], "sites": own, **found}


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(row["given"]), str(row["stratum"]), str(row["metric"])


def _refused(code: str, expected: str, found: str) -> PoolingError:
    return PoolingError(f"expected {expected}, found {found}", reasons=(code,))
