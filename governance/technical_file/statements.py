"""Statements: what only a person can write, signed by its author.

A statement is the governed document ``statement`` named ``RELEASE_DIGEST/FIELD``, for a field
of the whole site ``FIELD``.  It holds for the release that it names and for no other, so that
a new release asks its authors again.  Where a field may be absent, a statement can say that it
does not apply, with the reason.

Source: Regulation (EU) 2024/1689 Annex IV point 2(g) (dated and signed by the responsible
persons); REGULATORY.md section 2, rules (i) and (ii).

Read next: `contents.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.errors import ConfigurationError, SignatureError
from governance.sealed import Sealer, open_sealed, seal, sealed_at
from governance.signing import TrustedKey
from governance.technical_file.fields import BY_PATH, DECLARATION, FieldRule

KIND = "statement"
SCHEMA = "osteon.statement/1"
TEXT_LIMIT = 200_000


@dataclass(frozen=True, slots=True)
class Statement:
    """What a person said about a field.

    Parameters
    ----------
    not_applicable : the field does not apply, and the text is the reason.
    """

    text: str
    not_applicable: bool
    author: str
    role: str
    signed_at: str


def name_of(rule: FieldRule, release_digest: str) -> str:
    """Return the name of the governed document of a statement on a field."""
    return rule.path if rule.of_site else f"{release_digest}/{rule.path}"


def state(
    path: str,
    text: str,
    release_digest: str,
    author: tuple[str, str],
    *,
    not_applicable: bool = False,
) -> dict[str, Any]:
    """Return a statement that is yet to be sealed.

    Parameters
    ----------
    author : account id and role.

    Raises
    ------
    ConfigurationError : the field is unknown, is not for persons to write, cannot be absent,
        or the text is empty or too long.
    """
    rule = BY_PATH.get(path)
    if rule is None:
        raise ConfigurationError(
            f"expected a field of the technical file, found {path[:60]!r}",
            advice="`osteon technical-file status RELEASE` lists the fields.",
        )
    if path == DECLARATION:
        raise ConfigurationError(
            "the declaration is an act of its own and no statement",
            advice="Sign it: `osteon technical-file declare RELEASE`.",
        )
    if rule.gen == "A" and not not_applicable:
        raise ConfigurationError(
            f"{path} is generated from its source and not written by hand",
            advice="Record the source document instead.",
        )
    if not_applicable and not rule.may_be_absent:
        raise ConfigurationError(f"{path} applies to every release and cannot be left out")
    if not text.strip() or len(text) > TEXT_LIMIT:
        raise ConfigurationError(f"expected a text of 1 to {TEXT_LIMIT} characters for {path}")
    return {
        "schema": SCHEMA,
        "field": path,
        "release_digest": "" if rule.of_site else release_digest,
        "text": text.strip(),
        "not_applicable": not_applicable,
        "author": author[0],
        "role": author[1],
    }


def sign_statement(content: Mapping[str, Any], sealer: Sealer, at: datetime) -> dict[str, Any]:
    """Return a statement with the signature that fixes text, field, release, author and time."""
    return seal(content, sealer, at)


def read_statement(
    document: Mapping[str, Any],
    rule: FieldRule,
    release_digest: str,
    trust: tuple[TrustedKey, ...],
) -> Statement:
    """Return a statement that counts for a field of a release.

    Raises
    ------
    SignatureError : it is not sealed, was changed since, or is about something else.
    """
    content = open_sealed(document, trust)
    about = (content.get("field"), content.get("release_digest"))
    if about != (rule.path, "" if rule.of_site else release_digest):
        raise SignatureError(f"expected a statement on {rule.path} of this release")
    return Statement(
        str(content.get("text", "")),
        content.get("not_applicable") is True,
        str(content.get("author", "")),
        str(content.get("role", "")),
        sealed_at(document),
    )
