"""What of the record and of the office speaks for which article of the AI Act.

Regulation (EU) 2024/1689: 12 record-keeping, 13 information for deployers, 14 human
oversight, 15 accuracy, robustness, cybersecurity, 19 logs of the provider, 26 duties of the
deployer, 72 post-market monitoring.

Documents whose words people write about incidents or patients are named by digest and not
quoted; `QUOTED` are those that stand in a pack as they are.

Read next: `adapters/evidence/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from audit.errors import ConfigurationError
from audit.kinds import KINDS


@dataclass(frozen=True, slots=True)
class Article:
    """One article: its title in English and German, and what speaks for it.

    Parameters
    ----------
    kinds : kinds of record; empty means all.
    documents : kinds of governed documents.
    reports : names of reports that are computed for the pack.
    """

    title: tuple[str, str]
    demands: tuple[str, str]
    kinds: tuple[str, ...]
    documents: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()


ARTICLES: Mapping[str, Article] = MappingProxyType(
    {
        "12": Article(
            ("Record-keeping", "Aufzeichnungspflichten"),
            (
                "Events are recorded automatically over the lifetime of the system.",
                "Ereignisse werden über die Lebensdauer des Systems automatisch aufgezeichnet.",
            ),
            (),
            reports=("verification",),
        ),
        "13": Article(
            ("Transparency and information", "Transparenz und Bereitstellung von Informationen"),
            (
                "Deployers can interpret the output and use it appropriately.",
                "Betreiber können die Ausgaben deuten und angemessen verwenden.",
            ),
            ("release", "lifecycle", "governed", "explanation"),
            ("technical_file", "statement", "ifu_acknowledgement", "declaration"),
            ("releases",),
        ),
        "14": Article(
            ("Human oversight", "Menschliche Aufsicht"),
            (
                "People can understand, override and stop the system, and stay aware of "
                "automation bias.",
                "Menschen können das System verstehen, übersteuern und anhalten und bleiben sich "
                "der Automatisierungsneigung bewusst.",
            ),
            ("assessment", "stop", "by_hand", "seed", "prescription", "what_if", "refusal"),
            ("overseers", "training", "staff_notice", "stop"),
            ("oversight",),
        ),
        "15": Article(
            (
                "Accuracy, robustness and cybersecurity",
                "Genauigkeit, Robustheit und Cybersicherheit",
            ),
            (
                "Accuracy is declared and kept; faults and attacks are met.",
                "Genauigkeit ist angegeben und bleibt; Fehlern und Angriffen wird begegnet.",
            ),
            ("inference", "guard", "fault", "comparison", "replay", "clock", "account"),
            ("accuracy", "certificate", "certificate_state", "comparison", "alarm"),
            ("releases",),
        ),
        "19": Article(
            ("Automatically generated logs", "Automatisch erzeugte Protokolle"),
            (
                "The provider keeps the logs for at least six months.",
                "Der Anbieter bewahrt die Protokolle mindestens sechs Monate auf.",
            ),
            ("purge", "export", "erasure", "restore", "legal_hold"),
            ("legal_hold", "purge_order"),
            ("verification",),
        ),
        "26": Article(
            ("Obligations of deployers", "Pflichten der Betreiber"),
            (
                "Use as instructed, oversee, monitor, keep the logs, tell of incidents.",
                "Anweisungsgemäß verwenden, beaufsichtigen, überwachen, Protokolle aufbewahren, "
                "Vorkommnisse melden.",
            ),
            (
                "route_decision", "run_opened", "input_read", "inference", "delivery",
                "run_closed", "access", "incident", "configuration_change",
            ),
            ("staff_notice", "overseers", "incident", "legal_hold"),
            ("oversight", "incidents"),
        ),
        "72": Article(
            ("Post-market monitoring", "Beobachtung nach dem Inverkehrbringen"),
            (
                "Data on performance are collected and analysed over the lifetime.",
                "Daten zur Leistung werden über die Lebensdauer gesammelt und ausgewertet.",
            ),
            (
                "inference", "assessment", "plan_comparison", "comparison", "incident", "fault",
                "refusal",
            ),
            ("monitoring_plan", "alarm", "recall", "corrective_action", "safety_notice"),
            ("oversight", "incidents", "releases"),
        ),
    }
)  # fmt: skip

QUOTED = (
    "accuracy", "alarm", "certificate", "certificate_state", "classification", "comparison",
    "declaration", "monitoring_plan", "overseers", "risk_register", "staff_notice", "statement",
    "technical_file",
)  # fmt: skip
"""Kinds of governed documents that a pack quotes; of the others it gives the digest."""


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """Return the articles that are asked for, in their order; all where none is named.

    Raises
    ------
    ConfigurationError : one of them is not known here.
    """
    asked = [name.strip() for name in names if name.strip()]
    unknown = [name for name in asked if name not in ARTICLES]
    if unknown:
        known = ", ".join(ARTICLES)
        raise ConfigurationError(f"expected articles among {known}, found {unknown[0][:20]!r}")
    return tuple(name for name in ARTICLES if not asked or name in asked)


def kinds_of(articles: Sequence[str]) -> frozenset[str]:
    """Return the kinds of record that speak for some articles."""
    every = [ARTICLES[name].kinds or tuple(KINDS) for name in articles]
    return frozenset(kind for kinds in every for kind in kinds)
