"""What the technical file has to say: every field, its point of the law, and where it comes from.

``gen`` says who writes a field: A is generated from a source, S is a generated draft that a
person completes and signs, M is written and signed by a person.  Nothing else fills a field: a
gap prints MISSING.  ``may_be_absent`` fields can be declared not applicable, with a reason.

Source: Regulation (EU) 2024/1689 Annex IV, Art. 6, 17, 18; Regulation (EU) 2017/745 Annex II
and III; REGULATORY.md section 2.

Read next: `sources.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Gen = Literal["A", "S", "M"]
SUBGROUPS = "p3.accuracy_by_group"
"""The field whose absence is a blocking gap of its own (rule iv)."""
DECLARATION = "p8.eu_doc"


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One field.

    Parameters
    ----------
    path : its name in ``annex_iv.json``.
    point : of the law that asks for it.
    mdr : section of Annex II or III of the MDR that it also serves; empty for none.
    of_site : a statement on it holds for the whole site, not for one release.
    """

    path: str
    point: str
    gen: Gen
    mdr: str
    en: str
    de: str
    may_be_absent: bool = False
    of_site: bool = False


POINTS: dict[str, tuple[str, str]] = {
    "1": ("General description", "Allgemeine Beschreibung"),
    "2": ("Elements and development", "Bestandteile und Entwicklung"),
    "3": ("Monitoring, functioning and control", "Überwachung, Funktionsweise und Kontrolle"),
    "4": ("Appropriateness of the metrics", "Eignung der Leistungskennzahlen"),
    "5": ("Risk management", "Risikomanagement"),
    "6": ("Changes through the lifecycle", "Änderungen im Lebenszyklus"),
    "7": ("Standards and solutions", "Normen und Lösungen"),
    "8": ("EU declaration of conformity", "EU-Konformitätserklärung"),
    "9": ("Post-market monitoring", "Beobachtung nach dem Inverkehrbringen"),
    "Art": ("Classification, quality management, retention",
            "Einstufung, Qualitätsmanagement, Aufbewahrung"),
    "MDR": ("Further parts of the MDR", "Weitere Teile der MDR"),
}  # fmt: skip
"""Points of Annex IV and what stands beside them; key is the head of `FieldRule.point`."""

_F = FieldRule
FIELDS: tuple[FieldRule, ...] = (
    _F("p1.a.intended_purpose", "1(a)", "M", "II 1.1", "Intended purpose", "Zweckbestimmung"),
    _F("p1.a.provider", "1(a)", "A", "II 1.1", "Provider", "Anbieter"),
    _F("p1.a.version", "1(a)", "A", "II 1.1", "Version", "Version"),
    _F("p1.a.previous_versions", "1(a)", "A", "II 1.2", "Earlier versions", "Frühere Versionen"),
    _F("p1.b.interactions", "1(b)", "A", "II 1.1", "Systems that it interacts with",
       "Systeme, mit denen es zusammenwirkt"),
    _F("p1.c.software_versions", "1(c)", "A", "II 1.1", "Versions of relevant software",
       "Versionen der maßgeblichen Software"),
    _F("p1.c.update_requirements", "1(c)", "A", "II 1.1", "Requirements on updates",
       "Anforderungen an Aktualisierungen"),
    _F("p1.d.forms_of_supply", "1(d)", "A", "II 1.1", "Forms of supply", "Lieferformen"),
    _F("p1.e.hardware", "1(e)", "A", "II 1.1", "Hardware", "Hardware"),
    _F("p1.f.product_images", "1(f)", "S", "II 1.1", "Images and markings of the product",
       "Abbildungen und Kennzeichnung des Produkts", may_be_absent=True),
    _F("p1.g.ui_description", "1(g)", "S", "II 1.1", "User interface", "Benutzeroberfläche"),
    _F("p1.h.ifu_ref", "1(h)", "A", "II 2", "Instructions for use", "Gebrauchsanweisung"),
    _F("p2.a.methods_steps", "2(a)", "S", "II 3", "Methods and steps of development",
       "Methoden und Schritte der Entwicklung"),
    _F("p2.a.third_party_tools", "2(a)", "S", "II 3", "Pre-trained systems and tools of others",
       "Vortrainierte Systeme und Werkzeuge Dritter"),
    _F("p2.b.general_logic", "2(b)", "S", "II 1.1", "General logic", "Allgemeine Logik"),
    _F("p2.b.design_choices", "2(b)", "M", "II 3", "Design choices", "Entwurfsentscheidungen"),
    _F("p2.b.assumptions", "2(b)", "M", "II 3", "Assumptions", "Annahmen"),
    _F("p2.b.target_groups", "2(b)", "S", "II 1.1", "Persons it is meant for",
       "Personen, für die es bestimmt ist"),
    _F("p2.b.classification_choices", "2(b)", "S", "II 3", "What it classifies, and into what",
       "Was es zuordnet, und wozu"),
    _F("p2.b.optimisation_target", "2(b)", "M", "II 3", "What it is optimised for",
       "Worauf es optimiert ist"),
    _F("p2.b.parameter_relevance", "2(b)", "S", "II 3", "Relevance of the parameters",
       "Bedeutung der Parameter"),
    _F("p2.b.expected_output_quality", "2(b)", "S", "II 3", "Expected output and its quality",
       "Erwartete Ausgabe und ihre Qualität"),
    _F("p2.b.trade_offs", "2(b)", "M", "II 3", "Trade-offs", "Abwägungen"),
    _F("p2.c.architecture", "2(c)", "S", "II 3", "Architecture", "Architektur"),
    _F("p2.c.component_flow", "2(c)", "A", "II 3", "How components feed each other",
       "Wie die Bestandteile ineinandergreifen"),
    _F("p2.c.compute_used", "2(c)", "S", "II 3", "Computing resources used",
       "Verwendete Rechenressourcen"),
    _F("p2.d.datasheets", "2(d)", "A", "II 3", "Data sheets", "Datenblätter"),
    _F("p2.e.oversight_assessment", "2(e)", "S", "II 3", "Assessment of human oversight",
       "Bewertung der menschlichen Aufsicht"),
    _F("p2.f.predetermined_changes", "2(f)", "A", "II 3", "Pre-determined changes",
       "Vorab festgelegte Änderungen", may_be_absent=True),
    _F("p2.f.continuous_compliance_solutions", "2(f)", "A", "II 3",
       "Solutions that keep compliance", "Lösungen zur Aufrechterhaltung der Konformität",
       may_be_absent=True),
    _F("p2.g.vv_procedures", "2(g)", "A", "II 6.1", "Validation and test procedures",
       "Validierungs- und Testverfahren"),
    _F("p2.g.test_data", "2(g)", "A", "II 6.1", "Test data", "Testdaten"),
    _F("p2.g.metrics", "2(g)", "A", "II 6.1", "Metrics and criteria", "Kennzahlen und Kriterien"),
    _F("p2.g.discriminatory_impacts", "2(g)", "A", "II 6.1", "Potentially discriminatory effects",
       "Mögliche diskriminierende Auswirkungen"),
    _F("p2.g.test_logs", "2(g)", "A", "II 6.1", "Test logs", "Testprotokolle"),
    _F("p2.g.signed_reports", "2(g)", "A", "II 6.1", "Signed reports", "Unterzeichnete Berichte"),
    _F("p2.h.cybersecurity", "2(h)", "S", "II 6.1", "Cybersecurity", "Cybersicherheit"),
    _F("p3.capabilities_limits", "3", "A", "II 1.1", "Capabilities and limits",
       "Fähigkeiten und Grenzen"),
    _F("p3.accuracy_overall", "3", "A", "II 6.1", "Expected accuracy", "Erwartete Genauigkeit"),
    _F(SUBGROUPS, "3", "A", "II 6.1", "Accuracy for groups of persons",
       "Genauigkeit für Personengruppen"),
    _F("p3.unintended_outcomes", "3", "A", "II 5", "Foreseeable unintended outcomes",
       "Vorhersehbare unbeabsichtigte Ergebnisse"),
    _F("p3.risk_sources", "3", "A", "II 5", "Sources of risk", "Risikoquellen"),
    _F("p3.oversight_measures", "3", "A", "II 2", "Oversight measures", "Aufsichtsmaßnahmen"),
    _F("p3.input_specs", "3", "A", "II 2", "Specification of the input",
       "Anforderungen an die Eingabe"),
    _F("p4.metric_appropriateness", "4", "M", "II 6.1", "Why these metrics suit",
       "Warum diese Kennzahlen geeignet sind"),
    _F("p5.rms", "5", "A", "II 5", "Risk management", "Risikomanagement"),
    _F("p6.lifecycle_changes", "6", "A", "II 3", "Changes", "Änderungen"),
    _F("p7.standards", "7", "A", "II 4", "Standards applied", "Angewandte Normen"),
    _F("p7.alternative_solutions", "7", "S", "II 4", "Solutions where no standard is cited",
       "Lösungen ohne zitierte Norm", may_be_absent=True),
    _F(DECLARATION, "8", "A", "II 4", "EU declaration of conformity",
       "EU-Konformitätserklärung"),
    _F("p9.pmm_system", "9", "A", "III 1.1", "System of post-market monitoring",
       "System der Beobachtung nach dem Inverkehrbringen"),
    _F("p9.pmm_plan", "9", "A", "III 1.1", "Plan of post-market monitoring",
       "Plan der Beobachtung nach dem Inverkehrbringen"),
    _F("classification", "Art. 6", "A", "II 1.1", "Risk classification", "Risikoeinstufung"),
    _F("qms.map", "Art. 17", "A", "II 3", "Map of the quality management system",
       "Landkarte des Qualitätsmanagements", of_site=True),
    _F("retention.until", "Art. 18", "A", "", "How long documents are kept",
       "Aufbewahrungsfrist der Unterlagen"),
    _F("mdr.udi", "MDR", "A", "II 1.1", "Unique device identification",
       "Eindeutige Produktkennung"),
    _F("mdr.gspr_checklist", "MDR", "M", "II 4",
       "General safety and performance requirements",
       "Grundlegende Sicherheits- und Leistungsanforderungen"),
    _F("mdr.manufacturing", "MDR", "M", "II 3", "Sites and suppliers",
       "Standorte und Zulieferer", of_site=True),
    _F("mdr.clinical_evaluation", "MDR", "M", "II 6.1", "Clinical evaluation",
       "Klinische Bewertung"),
    _F("mdr.psur", "MDR", "M", "III 1.2", "Periodic safety update report",
       "Regelmäßig aktualisierter Sicherheitsbericht", may_be_absent=True),
)  # fmt: skip
BY_PATH: dict[str, FieldRule] = {rule.path: rule for rule in FIELDS}


def head_of(point: str) -> str:
    """Return the key of `POINTS` that a point belongs to: ``2(a)`` to ``2``, ``Art. 6`` to Art."""
    return point.split("(")[0].split(".")[0]
