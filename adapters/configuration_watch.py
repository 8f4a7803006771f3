"""Notice what was changed in the configuration between two starts, and put it on record.

The configuration in force (file and environment) is kept at every start of a serving site,
key by key; the next start compares.  Values of secrets are never kept: a keyed digest (HMAC
under a key of the site) says whether one has changed, and cannot be guessed back.  The keys
that count (``keys/trust.json``) are watched likewise, since a file can be edited by hand.

Read next: `config.py`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretStr

from audit import canonical
from governance.ports import GovernedDocument
from governance.release import digest_of
from governance.signing import TrustedKey, load_trust

if TYPE_CHECKING:
    from adapters.compose import Site

KIND = "configuration"
TRUST = "trust"
BY = "service:osteon"
ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Changed:
    """One key whose value is another than at the last start; values as text, `ABSENT` if none."""

    key: str
    before: str
    after: str


def note_configuration(site: Site) -> tuple[Changed, ...]:
    """Record what has changed since the last start of this node, and keep what is in force.

    Returns
    -------
    the changes; none at the first start, and none where nothing changed.
    """
    node = site.configuration.site.node
    found = dict(flatten(site.configuration, site.keys.session))
    changes = _keep(site, KIND, node, found)
    return changes + note_trust(site, BY)


def note_trust(site: Site, person: str) -> tuple[Changed, ...]:
    """Record what ``person`` has changed among the keys that count at this node."""
    found = {_name(key): _state(key) for key in load_trust(site.home.keys / "trust.json")}
    return _keep(site, TRUST, site.configuration.site.node, found, person)


def flatten(model: BaseModel, key: bytes) -> Iterator[tuple[str, str]]:
    """Yield every value of a configuration by its path, e.g. ``pacs.0.url``.

    Parameters
    ----------
    key : under which secrets are digested.
    """
    for name in type(model).model_fields:
        yield from _values(name, getattr(model, name), key)


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Changed, ...]:
    """Return the keys whose values differ, by name."""
    return tuple(
        Changed(key, before.get(key, ABSENT), after.get(key, ABSENT))
        for key in sorted({*before, *after})
        if before.get(key, ABSENT) != after.get(key, ABSENT)
    )


def _values(path: str, value: Any, key: bytes) -> Iterator[tuple[str, str]]:
    if isinstance(value, SecretStr):
        secret = value.get_secret_value().encode()
        digest = hmac.digest(key, b"osteon.setting/1\0" + path.encode() + b"\0" + secret, "sha256")
        yield path, f"hidden:{digest.hex()[:32]}" if secret else "hidden:empty"
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _values(f"{path}.{name}", getattr(value, name), key)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _values(f"{path}.{name}", item, key)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for number, item in enumerate(value):
            yield from _values(f"{path}.{number}", item, key)
    else:
        yield path, json.dumps(value, default=str)


def _keep(
    site: Site, kind: str, name: str, found: Mapping[str, str], person: str = BY
) -> tuple[Changed, ...]:
    """Keep a state and record how it differs from the one before, in one transaction."""
    with site.database.transaction() as transaction:
        known = transaction.governed(kind, name)
        document = transaction.put_governed(kind, name, {"values": dict(found)}, person, site.now())
        if known is not None and known.revision == document.revision:
            return ()
        changes = compare(_kept(known), found) if known is not None else ()
        for change in changes:
            setting = f"{kind}.{change.key}"
            site.journal.configuration_change(
                transaction, setting, change.before, change.after, person
            )
        site.journal.governed(transaction, document)
    site.log.seal(site.database)
    return changes


def _kept(document: GovernedDocument) -> Mapping[str, str]:
    return dict(document.content["values"])


def _name(key: TrustedKey) -> str:
    return f"{key.purpose}.{key.key_id}"


def _state(key: TrustedKey) -> str:
    """Return what counts of a key as text: its bytes, and from when until when."""
    public = hashlib.sha256(key.public_key).hexdigest()[:32]
    until = key.revoked_at.isoformat() if key.revoked_at else "not revoked"
    state = f"{public} from {key.valid_from.isoformat()}, {until}"
    if key.valid_until is not None:
        state += f", valid until {key.valid_until.isoformat()}"
    if key.compromised_from is not None:
        state += f", compromised from {key.compromised_from.isoformat()}"
    if key.kept is not None:
        state += f", kept {digest_of(canonical.encode(sorted(key.kept)))[7:39]}"
    return state
