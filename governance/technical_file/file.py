"""The technical file as a value: every field with its value, status, source and author.

`build` asks, for each field of `fields.py`, the rule that fills it and the statement of a
person; it adds nothing of its own.  The same sources give the same file.

Source: REGULATORY.md section 2, rules (i) to (v).

Read next: `gaps.py`, `bundle.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from audit import canonical
from audit.errors import SignatureError
from governance.release import digest_of
from governance.signing import TrustedKey
from governance.technical_file import (
    contents_evidence,
    contents_instructions,
    contents_office,
    contents_release,
)
from governance.technical_file.fields import FIELDS, FieldRule
from governance.technical_file.found import MALFORMED, Absent, Answer, Found, Missing, Rule
from governance.technical_file.sources import Source, Sources
from governance.technical_file.statements import KIND as STATEMENT
from governance.technical_file.statements import Statement, read_statement

SCHEMA = "osteon.technical_file/1"
Status = Literal["complete", "n/a", "missing"]
STATUSES: tuple[Status, ...] = ("complete", "n/a", "missing")
GENERATED = "generated"
RULES: Mapping[str, Rule] = {
    **contents_release.RULES,
    **contents_evidence.RULES,
    **contents_office.RULES,
    **contents_instructions.RULES,
}
DRAFTS: Mapping[str, Rule] = {**contents_release.DRAFTS, **contents_office.DRAFTS}
_BY_PERSON = {"S": "a person has to complete and sign it", "M": "a person has to write and sign it"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field as it stands.

    Parameters
    ----------
    value : JSON values; None while there is nothing.  A draft that nobody signed is a value
        with status missing.
    author : account that signed, or ``generated``.
    signed_at : ISO 8601; empty for what is generated.
    sources : name -> digest of what it was made from.
    """

    rule: FieldRule
    value: Any
    status: Status
    reason: str
    author: str
    signed_at: str
    sources: Mapping[str, str]

    @property
    def source_sha256(self) -> str:
        """Return the digest of the one source, or of the map of several; empty without."""
        if len(self.sources) == 1:
            return next(iter(self.sources.values()))
        return digest_of(canonical.encode(dict(self.sources))) if self.sources else ""


@dataclass(frozen=True, slots=True)
class TechnicalFile:
    """The file of one release."""

    plugin: str
    version: str
    release_digest: str
    fields: tuple[Field, ...]
    sources: Mapping[str, str]

    def field(self, path: str) -> Field:
        """Return one field by its path."""
        return next(item for item in self.fields if item.rule.path == path)

    def missing(self) -> tuple[str, ...]:
        """Return the paths of the fields that are missing."""
        return tuple(item.rule.path for item in self.fields if item.status == "missing")

    def counts(self) -> dict[str, int]:
        """Return how many fields are complete, not applicable and missing."""
        return {word: sum(item.status == word for item in self.fields) for word in STATUSES}


def build(sources: Sources, trust: tuple[TrustedKey, ...]) -> TechnicalFile:
    """Return the technical file that the sources give.

    Parameters
    ----------
    trust : the keys that count for statements.
    """
    return TechnicalFile(
        sources.plugin,
        sources.version,
        sources.release_digest,
        tuple(_field(rule, sources, trust) for rule in FIELDS),
        sources.digests(),
    )


def encode(file: TechnicalFile) -> dict[str, Any]:
    """Return ``annex_iv.json``."""
    return {
        "schema": SCHEMA,
        "plugin": file.plugin,
        "version": file.version,
        "release_digest": file.release_digest,
        "counts": file.counts(),
        "missing": list(file.missing()),
        "sources": dict(file.sources),
        "fields": {
            item.rule.path: {
                "point": item.rule.point,
                "title": item.rule.en,
                "gen": item.rule.gen,
                "value": item.value,
                "status": item.status,
                "reason": item.reason,
                "source_sha256": item.source_sha256,
                "sources": dict(item.sources),
                "author": item.author,
                "signed_at": item.signed_at,
            }
            for item in file.fields
        },
    }


def _field(rule: FieldRule, sources: Sources, trust: tuple[TrustedKey, ...]) -> Field:
    source = sources.get(f"{STATEMENT}/{rule.path}")
    try:
        said = _statement(rule, source, sources.release_digest, trust)
    except SignatureError as error:
        return _missing(rule, f"the statement does not count: {error}", sources)
    if rule.gen == "A":
        return _generated(rule, said, source, sources)
    drafted = _asked(DRAFTS.get(rule.path), sources)
    if said is not None and source is not None:
        return _stated(rule, said, source, drafted, sources)
    if isinstance(drafted, Found):
        value, names = {"draft": drafted.value}, drafted.names
        return _missing(rule, _BY_PERSON["S"], sources, value, names)
    return _missing(rule, _BY_PERSON[rule.gen], sources)


def _generated(
    rule: FieldRule, said: Statement | None, source: Source | None, sources: Sources
) -> Field:
    answer = _asked(RULES[rule.path], sources)
    if isinstance(answer, Found):
        digests = _digests(answer.names, sources)
        return Field(rule, answer.value, "complete", "", GENERATED, "", digests)
    if isinstance(answer, Absent):
        digests = _digests(answer.names, sources)
        return Field(rule, None, "n/a", answer.reason, GENERATED, "", digests)
    if said is not None and source is not None and said.not_applicable:
        return _stated(rule, said, source, answer, sources)
    return _missing(rule, answer.reason, sources)


def _stated(
    rule: FieldRule, said: Statement, source: Source, drafted: Answer, sources: Sources
) -> Field:
    digests = {source.name: source.digest}
    if said.not_applicable:
        return Field(rule, None, "n/a", said.text, said.author, said.signed_at, digests)
    value: Any = {"statement": said.text}
    if isinstance(drafted, Found):
        value["draft"] = drafted.value
        digests |= _digests(drafted.names, sources)
    return Field(rule, value, "complete", "", said.author, said.signed_at, digests)


def _missing(
    rule: FieldRule,
    reason: str,
    sources: Sources,
    value: Any = None,
    names: tuple[str, ...] = (),
) -> Field:
    return Field(rule, value, "missing", reason, "", "", _digests(names, sources))


def _asked(rule: Rule | None, sources: Sources) -> Answer:
    """Return the answer of a rule; a source that it cannot read is a gap with its reason."""
    if rule is None:
        return Missing("nothing generates it")
    try:
        return rule(sources)
    except MALFORMED as error:
        return Missing(f"a source cannot be read: {error or type(error).__name__}")


def _statement(
    rule: FieldRule,
    source: Source | None,
    release_digest: str,
    trust: tuple[TrustedKey, ...],
) -> Statement | None:
    if source is None:
        return None
    return read_statement(source.content, rule, release_digest, trust)


def _digests(names: tuple[str, ...], sources: Sources) -> dict[str, str]:
    return {name: sources.found[name].digest for name in names if name in sources.found}
