"""What a person brings to a change: a context file, and the evidence files that it names.

The context is TOML or JSON: claims, modifications, statements with their reasons, and paths
of a golden replay, a routing replay and a validation report, beside the context.  An
evidence file counts when ``NAME.sig`` beside it holds a signature of its bytes by a key of
purpose ``report``; unsigned it is named as such and shows nothing.

Read next: `standing.py`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit.errors import ConfigurationError
from governance.change.classification import Declaration, Rollback
from governance.change.kinds import KINDS, kind_named
from governance.change.proofs import STATEMENTS, GoldenReplay, RoutingReplay
from governance.change.protocol import Report, read_report
from governance.reading import Table
from governance.release import digest_of
from governance.signing import TrustedKey, verify_signature

PURPOSE = "report"
SIGNATURE = ".sig"
_KEYS = (
    *("claims", "modifications", "statements", "closes_loop", "unattended", "rollback"),
    *("golden_replay", "routing_replay", "report"),
)
_FILES = ("golden_replay", "routing_replay", "report")


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """One evidence file: digest of its bytes, who signed it (empty: nobody), its content."""

    digest: str
    signed_by: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Brought:
    """A declaration with the files that it rests on, by their role."""

    declaration: Declaration = field(default_factory=Declaration)
    files: Mapping[str, EvidenceFile] = field(default_factory=dict)

    @property
    def unsigned(self) -> tuple[str, ...]:
        """Return the evidence that does not count because nobody signed it."""
        return tuple(name for name, found in self.files.items() if not found.signed_by)


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file that a person named; ConfigurationError where there is none."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"expected a readable file {path.name}, found none",
            advice="Name a file that exists and can be read.",
        ) from error


def read_document(path: Path) -> dict[str, Any]:
    """Return a decoded TOML or JSON file (by its suffix); ConfigurationError if it is none."""
    return _decoded(path, read_bytes(path))


def read_evidence(path: Path, trust: tuple[TrustedKey, ...]) -> EvidenceFile:
    """Return an evidence file with who signed it.

    Raises
    ------
    ConfigurationError : it cannot be read.
    SignatureError : there is a signature and it does not hold: the file is not what it was.
    """
    raw = read_bytes(path)
    digest = digest_of(raw)
    place = path.with_name(path.name + SIGNATURE)
    signed_by = ""
    if place.is_file():
        signed_by = verify_signature(place.read_bytes(), digest, trust, PURPOSE).key_id
    return EvidenceFile(digest, signed_by, _decoded(path, raw))


def _decoded(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode("utf-8")
        found = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"expected TOML or JSON in {path.name}, found a fault") from error
    if not isinstance(found, dict):
        raise ConfigurationError(f"expected a table in {path.name}, found another value")
    return found


def read_context(path: Path, trust: tuple[TrustedKey, ...]) -> Brought:
    """Return what a context file declares, and the evidence beside it.

    Raises
    ------
    ConfigurationError : a key, kind or statement is unknown, or a file cannot be read.
    SignatureError : a signature does not hold.
    """
    top = Table(path.name, read_document(path)).only(_KEYS)
    files = {
        name: read_evidence(path.parent / top.text(name), trust)
        for name in _FILES
        if name in top.content
    }
    good = {name: found for name, found in files.items() if found.signed_by}
    report = good.get("report")
    golden, routing = good.get("golden_replay"), good.get("routing_replay")
    declaration = Declaration(
        claims=_claims(top),
        modifications=top.texts("modifications"),
        statements=_statements(top.table("statements")),
        golden_replay=_golden(golden.content) if golden else None,
        routing_replay=_routing(routing.content) if routing else None,
        report=_report(report) if report else None,
        closes_loop=top.flag("closes_loop", default=False),
        unattended=top.flag("unattended", default=False),
        rollback=_rollback(top.table("rollback")),
    )
    return Brought(declaration, files)


def _claims(top: Table) -> tuple[str, ...]:
    value = top.content.get("claims", [])
    found = [kind_named(str(name)) for name in value] if isinstance(value, list) else [None]
    if any(kind is None for kind in found):
        raise top.fault("claims", f"rows of the table: {', '.join(KINDS)}")
    return tuple(kind.key for kind in found if kind is not None)


def _statements(row: Table) -> dict[str, str]:
    row.only(STATEMENTS)
    return {name: row.text(name) for name in row.content}


def _rollback(row: Table) -> Rollback | None:
    if not row.content:
        return None
    row.only(("certificate_and_platform_valid", "anomalies_accepted"))
    return Rollback(*(row.flag(name, default=False) for name in Rollback.__slots__))


def _golden(content: Mapping[str, Any]) -> GoldenReplay:
    top = Table("golden_replay", content)
    outputs: dict[str, tuple[str, str]] = {}
    for row in top.tables("cases"):
        case = row.text("case")
        if case in outputs:
            raise row.fault("case", "each case once")
        outputs[case] = (row.text("old"), row.text("new"))
    return GoldenReplay(
        top.text("old_digest"), top.text("new_digest"), outputs,
        top.numbers("largest_differences"),
    )  # fmt: skip


def _routing(content: Mapping[str, Any]) -> RoutingReplay:
    top = Table("routing_replay", content)
    return RoutingReplay(
        top.text("old_digest"), top.text("new_digest"),
        *(top.count(name) for name in ("days", "study_count", "admitted_unvalidated")),
    )  # fmt: skip


def _report(found: EvidenceFile) -> Report:
    return read_report(found.content, found.digest, found.signed_by)
