"""What a provider declares about itself: identity, standards, quality management, placing.

Four governed documents that only a person can write; the technical file and the declaration
of conformity quote them.  Reading one checks that it is whole; nothing is filled in.

Source: Regulation (EU) 2024/1689 Art. 16 to 18, Annex IV point 7, Annex V; Regulation (EU)
2017/745 Art. 10, 27, 31; REGULATORY.md AIA-16, AIA-17, AIA-18.

Read next: `declaration.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from governance.reading import Table

PROVIDER, STANDARDS, QMS, PLACING = "provider", "standards", "qms_map", "placing"
SITE = "site"
"""Name of a governed document that holds for the whole site."""
QMS_ASPECTS: Mapping[str, str] = {
    "a": "strategy for regulatory compliance",
    "b": "design, design control and design verification",
    "c": "development, quality control and quality assurance",
    "d": "examination, test and validation procedures",
    "e": "technical specifications and standards",
    "f": "data management",
    "g": "risk management",
    "h": "post-market monitoring",
    "i": "reporting of serious incidents",
    "j": "communication with authorities and others",
    "k": "record-keeping",
    "l": "resource management",
    "m": "accountability of management and staff",
}
"""The thirteen aspects of Art. 17(1), in short."""
RETENTION_YEARS = 10
"""Art. 18(1): ten years after the system was placed on the market."""
_NB_NUMBER = re.compile(r"\d{4}")


@dataclass(frozen=True, slots=True)
class NotifiedBody:
    """Who assessed conformity, by which procedure, with which certificate."""

    name: str
    number: str
    procedure: str
    certificate_id: str


@dataclass(frozen=True, slots=True)
class Device:
    """How one plugin is called on the market."""

    name: str
    kind: str
    basic_udi_di: str
    udi_di: str


@dataclass(frozen=True, slots=True)
class Provider:
    """Who places the system on the market.

    Parameters
    ----------
    representative : authorised representative in the Union; empty where the provider is
        established there.
    other_acts : other Union law that the declaration covers.
    """

    name: str
    address: str
    email: str
    representative: str
    processes_personal_data: bool
    other_acts: tuple[str, ...]
    notified_body: NotifiedBody | None
    devices: Mapping[str, Device]


@dataclass(frozen=True, slots=True)
class Standard:
    """One standard or specification; ``oj_reference`` is empty while the OJ does not cite it."""

    reference: str
    title: str
    extent: str
    oj_reference: str


@dataclass(frozen=True, slots=True)
class Aspect:
    """Where one aspect of quality management is written down, and who keeps it until when."""

    procedure: str
    owner: str
    review_due: date


@dataclass(frozen=True, slots=True)
class Placing:
    """When the first and the last unit of a plugin was placed on the market."""

    first_placed: date
    last_placed: date | None

    def kept_until(self) -> date | None:
        """Return until when documents are kept; None while units are still being placed."""
        last = self.last_placed
        if last is None:
            return None
        year = last.year + RETENTION_YEARS
        # 29 February ends on 1 March of a year that has none: never a day too early.
        leap = (last.month, last.day) == (2, 29) and year % 4 != 0
        return date(year, 3, 1) if leap else last.replace(year=year)


def read_provider(document: Mapping[str, Any]) -> Provider:
    """Return the provider that a document states; ConfigurationError names what is wrong."""
    top = Table("provider", document).only(
        (
            *("schema", "name", "address", "email", "representative", "processes_personal_data"),
            *("other_acts", "notified_body", "devices"),
        )
    )
    if top.text("schema") != "osteon.provider/1":
        raise top.fault("schema", "osteon.provider/1")
    body = top.table("notified_body")
    devices = top.table("devices")
    return Provider(
        name=top.text("name"),
        address=top.text("address"),
        email=top.text("email"),
        representative=top.text("representative", ""),
        processes_personal_data=top.flag("processes_personal_data", True),
        other_acts=top.texts("other_acts"),
        notified_body=_notified_body(body) if body.content else None,
        devices={name: _device(devices.table(name)) for name in devices.content},
    )


def read_standards(document: Mapping[str, Any]) -> tuple[Standard, ...]:
    """Return the standards that a document lists, at least one."""
    top = Table("standards", document).only(("schema", "standards"))
    rows = top.tables("standards")
    if not rows:
        raise top.fault("standards", "at least one standard")
    return tuple(
        Standard(
            row.text("reference"), row.text("title"), row.word("extent", ("full", "part")),
            row.text("oj_reference", ""),
        )
        for row in rows
    )  # fmt: skip


def read_qms(document: Mapping[str, Any]) -> Mapping[str, Aspect]:
    """Return the aspects that a document maps; some may be missing."""
    aspects = Table("qms_map", document).only(("schema", "aspects")).table("aspects")
    aspects.only(QMS_ASPECTS)
    found = {letter: aspects.table(letter) for letter in aspects.content}
    return {
        letter: Aspect(row.text("procedure"), row.text("owner"), row.day("review_due"))
        for letter, row in found.items()
    }


def qms_gaps(aspects: Mapping[str, Aspect], on: date) -> tuple[str, ...]:
    """Return the letters of Art. 17(1) that are not mapped, or whose review is overdue."""
    return tuple(
        letter for letter in QMS_ASPECTS if letter not in aspects or aspects[letter].review_due < on
    )


def read_placing(document: Mapping[str, Any]) -> Placing:
    """Return when units were placed; a last one before the first is refused."""
    top = Table("placing", document).only(("schema", "first_placed", "last_placed"))
    first = top.day("first_placed")
    last = top.day("last_placed") if document.get("last_placed") else None
    if last is not None and last < first:
        raise top.fault("last_placed", "a day that is not before the first")
    return Placing(first, last)


def _notified_body(row: Table) -> NotifiedBody:
    row.only(("name", "number", "procedure", "certificate_id"))
    number = row.text("number")
    if not _NB_NUMBER.fullmatch(number):
        raise row.fault("number", "the four digits of a notified body (NANDO)")
    return NotifiedBody(row.text("name"), number, row.text("procedure"), row.text("certificate_id"))


def _device(row: Table) -> Device:
    row.only(("name", "type", "basic_udi_di", "udi_di"))
    return Device(
        row.text("name"), row.text("type"), row.text("basic_udi_di", ""), row.text("udi_di", "")
    )
