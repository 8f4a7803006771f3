"""What persons do about persons: name overseers, record training, acknowledge, assess.

Each act is a revision of a governed document with its record.  Who loses the last overseer in
clinical mode is suspended at once: use without oversight is not foreseen (AI Act Art. 26(2)).

Read next: `governance/personnel.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adapters.governance.acts import act
from adapters.governance.persons import Person
from audit.errors import NotFoundError, RefusalError
from governance import personnel
from governance.instructions import instructions, version_of
from governance.ports import GovernedDocument
from governance.report import LANGUAGES, Language

if TYPE_CHECKING:
    from adapters.compose import Site

IN_USE = ("canary", "active")


def name_overseer(site: Site, plugin: str, account: str, person: Person) -> GovernedDocument:
    """Name an overseer of a plugin: an open account of a clinical role, not the own one."""
    _require(person, account)
    with site.database.reading() as transaction:
        known = transaction.account(account)
        present = personnel.overseers(transaction, plugin)
    if known is None or known.disabled_at is not None or known.role not in _roles():
        raise RefusalError(
            f"expected an open account of a role in {', '.join(_roles())}, found {account[:40]!r}",
            reasons=("OVERSEER_ROLE",),
            advice="See `osteon account list`.",
        )
    rows = [*(row for row in present if row[0] != account), (account, known.role)]
    return _put_overseers(site, plugin, rows, person)


def remove_overseer(site: Site, plugin: str, account: str, person: Person) -> tuple[str, ...]:
    """Take an overseer's name away; in clinical mode releases without one are suspended.

    Returns
    -------
    the digests of the releases that were suspended.
    """
    _require(person, "")
    with site.database.reading() as transaction:
        present = personnel.overseers(transaction, plugin)
        active = [d for d in transaction.deployments(plugin) if d.state in IN_USE]
    left = [row for row in present if row[0] != account]
    if len(left) == len(present):
        raise NotFoundError(f"expected {account[:40]!r} to oversee {plugin}, found that not")
    suspended: tuple[str, ...] = ()
    if not left and site.configuration.site.mode == "clinical":
        reason = {"reason": "nobody oversees the plugin any more"}
        suspended = tuple(
            act(site, "suspend", item.release_digest, person, reason).release_digest
            for item in active
        )
    _put_overseers(site, plugin, left, person)
    return suspended


def record_training(
    site: Site, plugin: str, account: str, content: Mapping[str, Any], person: Person
) -> GovernedDocument:
    """Record that somebody was trained for a plugin, until when; nobody records the own."""
    _require(person, account)
    personnel.read_training(content)
    return _put(site, personnel.TRAINING, personnel.name_of(plugin, account), content, person)


def acknowledge(site: Site, digest: str, person: Person, language: Language) -> GovernedDocument:
    """Record that a person has read the instructions for use of a release, as they are now."""
    if person.role not in _roles():
        raise _not_permitted(person, _roles())
    content = {
        "schema": personnel.ACKNOWLEDGED_SCHEMA,
        "plugin": site.registry.row(digest).plugin,
        "account": person.account_id,
        "release_digest": digest,
        "ifu_version": ifu_versions(site, digest)[LANGUAGES.index(language)],
        "language": language,
    }
    name = personnel.name_of(str(content["plugin"]), person.account_id)
    return _put(site, personnel.ACKNOWLEDGED, name, content, person)


def assess(
    site: Site, kind: str, plugin: str, content: Mapping[str, Any], person: Person
) -> GovernedDocument:
    """Record an assessment of data protection (dpia) or fundamental rights (fria)."""
    _require(person, "")
    if kind not in (personnel.DPIA, personnel.FRIA):
        raise NotFoundError(f"expected dpia or fria, found {kind[:20]!r}")
    personnel.read_assessment(content)
    return _put(site, kind, plugin, content, person)


def ifu_versions(site: Site, digest: str) -> tuple[str, ...]:
    """Return the versions of the instructions of a release as they are now, one a language."""
    from adapters.technical_file.build import source_room

    room = source_room(site)
    with site.database.reading() as transaction:
        sources = room.sources(digest, transaction)
    return tuple(version_of(instructions(sources, language)) for language in LANGUAGES)


def _put_overseers(
    site: Site, plugin: str, rows: list[tuple[str, str]], person: Person
) -> GovernedDocument:
    content = {
        "schema": "osteon.overseers/1",
        "overseers": [{"account": account, "role": role} for account, role in sorted(rows)],
    }
    return _put(site, personnel.OVERSEERS, plugin, content, person)


def _put(
    site: Site, kind: str, name: str, content: Mapping[str, Any], person: Person
) -> GovernedDocument:
    with site.database.transaction() as transaction:
        document = transaction.put_governed(kind, name, content, person.account_id, site.now())
        site.journal.governed(transaction, document)
    return document


def _roles() -> tuple[str, ...]:
    return personnel.OVERSEER_ROLES


def _require(person: Person, about: str) -> None:
    """Return when a person may decide about somebody: in the role, and not about themselves."""
    if person.role not in personnel.NAMING_ROLES:
        raise _not_permitted(person, personnel.NAMING_ROLES)
    if about == person.account_id:
        raise RefusalError(
            "expected another person, found the own account",
            reasons=("FOUR_EYES",),
            advice="Let another approver record it.",
        )


def _not_permitted(person: Person, roles: tuple[str, ...]) -> RefusalError:
    return RefusalError(
        f"role {person.role} is not one of {', '.join(roles)}",
        reasons=("ROLE_NOT_PERMITTED",),
        advice="Ask somebody in one of the named roles.",
    )
