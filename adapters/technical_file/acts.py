"""What persons do for the technical file: state, record, classify, accept, verify, declare.

Every act is one revision of a governed document, sealed by the site's key for documents where
a person answers for it, with its audit record in the same transaction.  Roles are checked here,
so that command line and pages hold to the same table.

Read next: `build.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from adapters.release_members import package_folder
from adapters.technical_file.junit import outcomes
from audit import canonical
from audit.errors import ConfigurationError, NotFoundError, RefusalError, ReleaseError
from governance import accuracy, classification, declaration, provider, risk, risk_trace
from governance.classification import check_classification, read_classification
from governance.declaration import Signer, Subject
from governance.ports import GovernedDocument
from governance.release import Release, digest_of, folder_name, open_unpacked
from governance.sealed import seal, unsealed
from governance.technical_file.fields import BY_PATH
from governance.technical_file.sources import MONITORING, OVERSEERS
from governance.technical_file.statements import KIND as STATEMENT
from governance.technical_file.statements import name_of, sign_statement, state
from plugins.host.artifact import CODE

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.governance.persons import Person

AUTHORS = ("clinician", "physicist", "engineer", "approver")
ACCEPTERS = ("clinician", "physicist", "approver")
SIGNERS = ("approver",)
Read = Callable[[Mapping[str, Any]], object]


def _monitoring(document: Mapping[str, Any]) -> object:
    if not document.get("system"):
        raise ConfigurationError("expected `system` in a monitoring plan, found none")
    return document


def _overseers(document: Mapping[str, Any]) -> object:
    if not document.get("overseers"):
        raise ConfigurationError("expected at least one of `overseers`, found none")
    return document


RECORDED: Mapping[str, tuple[str, Read]] = {
    provider.PROVIDER: ("site", provider.read_provider),
    provider.STANDARDS: ("site", provider.read_standards),
    provider.QMS: ("site", provider.read_qms),
    provider.PLACING: ("plugin", provider.read_placing),
    risk.KIND: ("plugin", risk.read_register),
    MONITORING: ("plugin", _monitoring),
    OVERSEERS: ("plugin", _overseers),
    accuracy.KIND: ("release", accuracy.read_accuracy),
}
"""Kind of document -> what it is named by, and what reads it before it is kept."""


def state_field(
    site: Site, digest: str, path: str, text: str, person: Person, *, not_applicable: bool = False
) -> GovernedDocument:
    """Record what a person states on a field, signed; the field is then theirs."""
    require(person, AUTHORS)
    author = (person.account_id, person.role)
    content = state(path, text, digest, author, not_applicable=not_applicable)
    signed = sign_statement(content, site.keys.sealer, site.now())
    return _put(site, STATEMENT, name_of(BY_PATH[path], digest), signed, person)


def record(
    site: Site, kind: str, digest: str, content: Mapping[str, Any], person: Person
) -> GovernedDocument:
    """Record a document that a person wrote, after reading it whole.

    Raises
    ------
    ConfigurationError : the kind is unknown or the document malformed; nothing was kept.
    """
    require(person, AUTHORS)
    if kind not in RECORDED:
        raise ConfigurationError(f"expected a document of {', '.join(RECORDED)}, found {kind!r}")
    scope, read = RECORDED[kind]
    read(content)
    if kind == accuracy.KIND and content.get("release_digest") != digest:
        raise ConfigurationError("expected the accuracy of this release, found that of another")
    plugin = _plugin(site, digest)
    if content.get("plugin", plugin) != plugin:
        raise ConfigurationError(f"expected a document of {plugin}, found one of another plugin")
    names = {"site": provider.SITE, "plugin": plugin, "release": digest}
    return _put(site, kind, names[scope], content, person)


def classify(
    site: Site, digest: str, content: Mapping[str, Any], person: Person
) -> GovernedDocument:
    """Sign the risk classification of a release's plugin; RefusalError unless it is consistent."""
    require(person, SIGNERS)
    plugin = _plugin(site, digest)
    stated = {**content, "author": person.account_id, "role": person.role}
    record_ = read_classification(stated)
    if record_.plugin != plugin:
        raise ConfigurationError(f"expected a classification of {plugin}, found {record_.plugin}")
    with site.database.reading() as transaction:
        document = transaction.governed(risk.KIND, plugin)
    check_classification(record_, risk.read_register(document.content) if document else None)
    signed = seal(canonical.decode(canonical.encode(stated)), site.keys.sealer, site.now())
    return _put(site, classification.KIND, plugin, signed, person)


def accept_risk(
    site: Site, digest: str, hazard_id: str, reason: str, person: Person
) -> GovernedDocument:
    """Record that a person accepts the residual risk of one hazard, as it is written now.

    Raises
    ------
    NotFoundError : there is no such hazard.
    RefusalError : the risk needs no acceptance, or nobody can accept it.
    """
    require(person, ACCEPTERS)
    plugin = _plugin(site, digest)
    with site.database.reading() as transaction:
        document = transaction.governed(risk.KIND, plugin)
    hazard = risk.read_register(document.content).hazard(hazard_id) if document else None
    if document is None or hazard is None:
        raise NotFoundError(f"expected hazard {hazard_id[:40]} of {plugin}, found none")
    if hazard.risk_after != risk.WITH_REASON or not reason.strip():
        raise RefusalError(
            f"the residual risk of {hazard_id} is {hazard.risk_after}; what a person accepts is a "
            f"risk that is {risk.WITH_REASON!r}, saying why",
            reasons=("RISK_NOT_TO_BE_ACCEPTED",),
        )
    content = {
        "plugin": plugin,
        "hazard_id": hazard_id,
        "hazard_sha256": risk_trace.hazard_digests(document.content)[hazard_id],
        "reason": reason.strip(),
        "author": person.account_id,
        "role": person.role,
    }
    signed = seal(content, site.keys.sealer, site.now())
    return _put(site, risk_trace.ACCEPTANCE_KIND, f"{plugin}/{hazard_id}", signed, person)


def verify(site: Site, digest: str, junit: bytes, person: Person) -> GovernedDocument:
    """Record how the tests ended, and whether the code they ran on is that of the release."""
    require(person, AUTHORS)
    release = open_unpacked(site.home.releases / folder_name(digest))
    content = {
        "schema": risk_trace.EVIDENCE_SCHEMA,
        "release_digest": digest,
        "outcomes": outcomes(junit),
        "junit_sha256": digest_of(junit),
        "other_code": list(other_code(release)),
    }
    return _put(site, risk_trace.EVIDENCE_KIND, digest, content, person)


def draft_declaration(site: Site, digest: str) -> dict[str, Any]:
    """Return the declaration as far as the recorded documents state it."""
    release = open_unpacked(site.home.releases / folder_name(digest))
    manifest = release.manifest
    plugin = str(manifest["plugin"])
    with site.database.reading() as transaction:
        who = transaction.governed(provider.PROVIDER, provider.SITE)
        applied = transaction.governed(provider.STANDARDS, provider.SITE)
        record_ = transaction.governed(classification.KIND, plugin)
    return declaration.draft(
        Subject(plugin, str(manifest["version"]), digest, str(manifest.get("title", ""))),
        provider.read_provider(who.content) if who else None,
        provider.read_standards(applied.content) if applied else (),
        read_classification(unsealed(record_.content)) if record_ else None,
    )


def declare(site: Site, digest: str, signer: Signer, person: Person) -> GovernedDocument:
    """Sign the declaration of conformity of a release."""
    require(person, SIGNERS)
    content = draft_declaration(site, digest)
    signed = declaration.declare(content, signer, person.account_id, site.keys.sealer, site.now())
    return _put(site, declaration.KIND, digest, signed, person)


def revoke(site: Site, digest: str, reason: str, person: Person) -> GovernedDocument:
    """Take the declaration of a release back; NotFoundError when there is none."""
    require(person, SIGNERS)
    with site.database.reading() as transaction:
        document = transaction.governed(declaration.KIND, digest)
    if document is None or not reason.strip():
        raise NotFoundError("expected a declaration to revoke and a reason")
    signed = declaration.revoke(
        document.content, reason.strip(), person.account_id, site.keys.sealer, site.now()
    )
    return _put(site, declaration.KIND, digest, signed, person)


def other_code(release: Release) -> tuple[str, ...]:
    """Return the code members of a release that differ from the code installed here."""
    return tuple(
        name
        for name in release.members
        if name.startswith(CODE) and _installed(name) != release.member(name)
    )


def require(person: Person, roles: tuple[str, ...]) -> None:
    """Return when a person's role may do it; RefusalError if not."""
    if person.role not in roles:
        raise RefusalError(
            f"role {person.role} is not one of {', '.join(roles)}",
            reasons=("ROLE_NOT_PERMITTED",),
            advice="Let a person in the right role do it.",
        )


def _installed(member: str) -> bytes | None:
    """Return the bytes of a released file as it is installed, None where it is not."""
    parts = member.removeprefix(CODE).split("/")
    for depth in (2, 1):  # plugins.contouring lies in a namespace package, others at the top
        try:
            path = package_folder(".".join(parts[:depth])).joinpath(*parts[depth:])
        except (ReleaseError, ModuleNotFoundError):
            continue
        if path.is_file():
            return path.read_bytes()
    return None


def _plugin(site: Site, digest: str) -> str:
    return str(site.registry.row(digest).plugin)


def _put(
    site: Site, kind: str, name: str, content: Mapping[str, Any], person: Person
) -> GovernedDocument:
    account = f"account:{person.account_id}"
    with site.database.transaction() as transaction:
        document = transaction.put_governed(kind, name, content, account, site.now())
        site.journal.governed(transaction, document)
    return document
