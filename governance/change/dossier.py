"""The dossier of a change for the notified body: one signed file that anybody can check.

    index.json         what it is about, what is not there, and the digest of every other file
    index.sig.json     signature of the site's report key over the digest of index.json
    change/            the request as recorded: class with every reason, flags, references
    difference/        what differs between the releases, and from the certified baseline
    plan/ budget/      the plan in force with its signatures, and what of its budget is used
    protocol/ reports/ runs of the gates, and the reports that the request names, by digest
    certificates/      of the old and the new release
    technical-file/    the parts of the technical file of the new release

Nothing is invented: what a change of this kind has and the site has not stands in ``missing``.

Source: Regulation (EU) 2017/745 Annex IX 2.4 and 4.10; REGULATORY.md MDR-IX.

Read next: `adapters/change/dossier.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from audit import canonical
from audit.errors import RecordError, RefusalError, ReleaseTamperedError, SignatureError
from governance.change.ledger import ChangeRequest
from governance.release import digest_of, pack_zip, unpack_zip
from governance.sealed import PURPOSE, Sealer
from governance.signing import TrustedKey, sign, verify_signature

KIND = "change_dossier"
"""Governed document by the digest of the new release: the dossier that was made last."""
SCHEMA = "osteon.change-dossier/1"
INDEX, SIGNATURE = "index.json", "index.sig.json"
ASKED = ("D2", "D3")
"""Classes in which the notified body is asked."""
EXPECTED = (
    *("difference/releases.json", "difference/baseline.json", "plan/plan.json"),
    *("budget/budget.json", "protocol/run.json", "certificates/old.json"),
    *("certificates/new.json", "technical-file/annex_iv.json"),
)


def require_asked(request: ChangeRequest | None, release_digest: str) -> ChangeRequest:
    """Return the request of a change that the notified body has to see; RefusalError otherwise."""
    if request is None or request.withdrawn:
        raise RefusalError(
            f"expected a change request of {release_digest}, found none",
            reasons=("CHANGE_MISSING",),
            advice="Classify and record it: `osteon change classify OLD NEW --record`.",
        )
    if request.change_class not in ASKED:
        raise RefusalError(
            f"expected a change of class {' or '.join(ASKED)}, found {request.change_class}",
            reasons=("CHANGE_NEEDS_NO_APPROVAL",),
            advice="This change is recorded; nobody has to approve it.",
        )
    return request


def reports_named(request: ChangeRequest, certificates: Mapping[str, Any]) -> frozenset[str]:
    """Return the digests of the reports and evidence that a change rests on."""
    evidence = request.facts.get("evidence", {})
    named = {row["sha256"] for row in evidence.values()} | {request.report_digest}
    named |= {
        str(item["certificate"]["report_digest"])
        for item in certificates.values()
        if "report_digest" in item.get("certificate", {})
    }
    return frozenset(named - {""})


def pack(
    files: Mapping[str, bytes],
    request: ChangeRequest,
    wanted: frozenset[str],
    sealer: Sealer,
    at: datetime,
) -> bytes:
    """Return the signed dossier.

    Parameters
    ----------
    files : name -> bytes, without index and signature.
    wanted : digests of reports that it should hold; those that are not there are named.
    """  # fmt: skip
    digests = {name: digest_of(raw) for name, raw in sorted(files.items())}
    missing = [name for name in EXPECTED if name not in files]
    missing += sorted(f"reports/{digest}" for digest in wanted - set(digests.values()))
    index = canonical.encode(
        {
            "schema": SCHEMA,
            "plugin": request.plugin,
            "old_digest": request.old_digest,
            "new_digest": request.new_digest,
            "baseline_digest": request.baseline_digest,
            "change_class": request.change_class,
            "made_at": at.isoformat(),
            "files": digests,
            "missing": missing,
        }
    )
    signature = sign(digest_of(index), sealer.key, sealer.key_id, PURPOSE, at)
    return pack_zip({**files, INDEX: index, SIGNATURE: signature})


def open_dossier(raw: bytes, trust: tuple[TrustedKey, ...]) -> dict[str, Any]:
    """Return the index of a dossier in which every byte is what was signed.

    Raises
    ------
    SignatureError : its index is not signed by a key that counts, or a file was changed, added
        or removed; the message names it.
    """
    try:
        content = unpack_zip(raw, "dossier")
        index, signature = content.pop(INDEX), content.pop(SIGNATURE)
        document = canonical.decode(index)
        stated = dict(document["files"])
    except (KeyError, TypeError, ValueError, RecordError, ReleaseTamperedError) as error:
        raise SignatureError("expected a dossier of a change, found another file") from error
    verify_signature(signature, digest_of(index), trust, PURPOSE)
    for name in sorted({*stated, *content}):
        if name not in content or stated.get(name) != digest_of(content[name]):
            raise SignatureError(f"expected {name} in the dossier as it was signed, found another")
    return dict(document)
