"""Make the dossier of a change for the notified body, on record.

Read next: `governance/change/dossier.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.change.acts import MAKERS, require_role
from adapters.change.standing import standing_of
from adapters.database import Transaction
from adapters.governance.persons import Person
from adapters.technical_file.acts import draft_declaration
from adapters.technical_file.build import look, marking_of
from adapters.technical_file.documents import documents
from adapters.writing import write_whole
from audit import canonical
from audit.errors import NotFoundError, RefusalError
from governance.certificate import ATTACHMENT
from governance.change import dossier
from governance.change.budget import position
from governance.change.ledger import PLAN, REQUEST, RUN, ChangeRequest, request_of
from governance.change.statement import budget_lines
from governance.difference import difference, encode
from governance.ports import GovernedDocument
from governance.release import digest_of, open_release

if TYPE_CHECKING:
    from adapters.compose import Site


def make_dossier(
    site: Site, digest: str, reports: Iterable[Path], out: Path, person: Person
) -> dict[str, Any]:
    """Write the dossier of the change to a release and return its index.

    Parameters
    ----------
    reports : files of the reports that the change names; another file is refused.

    Raises
    ------
    RefusalError : the role may not, the change asks for no approval, or a report is not one
        that the change names; nothing was written.
    """
    require_role(person, MAKERS)
    with site.database.reading() as transaction:
        request = dossier.require_asked(request_of(transaction, digest), digest)
        files = _governed(transaction, request, digest)
        files |= _budget(site, transaction, request)
    certificates = _certificates(site, request)
    files |= {
        f"certificates/{name}.json": canonical.encode(item) for name, item in certificates.items()
    }
    files |= _differences(site, request)
    wanted = dossier.reports_named(request, certificates)
    files |= _reports(reports, wanted)
    files |= _technical_file(site, digest)
    raw = dossier.pack(files, request, wanted, site.keys.sealer, site.now())
    index = dossier.open_dossier(raw, site.registry.trust())
    _keep(site, digest, raw, index, person)
    write_whole(out, raw)
    return index


def _governed(transaction: Transaction, request: ChangeRequest, digest: str) -> dict[str, bytes]:
    """Return request, plan and runs as they are recorded."""
    wanted = (
        ("change/request.json", transaction.governed(REQUEST, digest)),
        ("plan/plan.json", transaction.governed(PLAN, request.plugin)),
        ("protocol/run.json", transaction.governed(RUN, digest)),
    )
    return {name: canonical.encode(item.content) for name, item in wanted if item is not None}


def _budget(site: Site, transaction: Transaction, request: ChangeRequest) -> dict[str, bytes]:
    standing = standing_of(site, transaction, request.plugin, request.new_digest)
    if standing.plan is None or standing.baseline is None:
        return {}
    found = position(
        standing.plan.budget, standing.baseline, standing.ledger, None, standing.stops, site.now()
    )
    content = {"holds": found.holds, "lines": budget_lines(found)}
    return {"budget/budget.json": canonical.encode(content)}


def _certificates(site: Site, request: ChangeRequest) -> dict[str, Mapping[str, Any]]:
    found = {}
    for name, digest in (("old", request.old_digest), ("new", request.new_digest)):
        try:
            site.registry.row(digest)
        except NotFoundError:
            continue  # the old one may lie elsewhere: it is then named as missing
        raw = site.registry.attachment(digest, ATTACHMENT)
        if raw is not None:
            found[name] = json.loads(raw)
    return found


def _differences(site: Site, request: ChangeRequest) -> dict[str, bytes]:
    """Return what differs from the old release and from the baseline, and both manifests."""
    found: dict[str, bytes] = {}
    new = open_release(Path(site.registry.row(request.new_digest).path), request.new_digest)
    found["releases/new.json"] = canonical.encode(dict(new.manifest))
    pairs = (("releases", request.old_digest), ("baseline", request.baseline_digest))
    for name, digest in pairs:
        try:
            old = open_release(Path(site.registry.row(digest).path), digest)
        except NotFoundError:
            continue
        found[f"difference/{name}.json"] = canonical.encode(
            canonical.decode(canonical.encode(encode(difference(old, new))))
        )
        if name == "releases":
            found["releases/old.json"] = canonical.encode(dict(old.manifest))
    return found


def _reports(paths: Iterable[Path], wanted: frozenset[str]) -> dict[str, bytes]:
    found = {}
    for path in paths:
        raw = path.read_bytes()
        if digest_of(raw) not in wanted:
            raise RefusalError(
                f"expected a report that the change names, found {path.name}",
                reasons=("REPORT_NOT_NAMED",),
                advice="Give the very files that were classified with, or certified.",
            )
        found[f"reports/{digest_of(raw)[7:19]}-{path.name}"] = raw
    return found


def _technical_file(site: Site, digest: str) -> dict[str, bytes]:
    looked = look(site, digest)
    made = documents(
        looked.file, looked.sources, draft_declaration(site, digest), marking_of(site, digest)
    )
    return {f"technical-file/{name}": raw for name, raw in made.items()}


def _keep(
    site: Site, digest: str, raw: bytes, index: Mapping[str, Any], person: Person
) -> GovernedDocument:
    """Put on record that a dossier was made: its digest, and what it lacks."""
    content = {
        "sha256": digest_of(raw),
        "change_class": index["change_class"],
        "missing": index["missing"],
        "files": len(index["files"]),
    }
    with site.database.transaction() as transaction:
        document = transaction.put_governed(
            dossier.KIND, digest, content, person.account_id, site.now()
        )
        site.journal.governed(transaction, document)
    return document
