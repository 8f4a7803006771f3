"""The field that refers to the instructions for use: versions and digests of each language.

Read next: `../instructions.py`.
"""

from __future__ import annotations

from audit import canonical
from governance import accuracy, risk
from governance.instructions import instructions, open_sections, version_of
from governance.provider import PROVIDER
from governance.release import MANIFEST, digest_of
from governance.report import LANGUAGES, encode
from governance.technical_file.found import Answer, Found, Missing, Rule, needs
from governance.technical_file.sources import CARD, CRITERIA, OVERSEERS, PLAN, Sources
from governance.technical_file.statements import KIND as STATEMENT

USED = (
    *(MANIFEST, CARD, CRITERIA, accuracy.KIND, risk.KIND, PROVIDER, OVERSEERS, PLAN),
    *(f"{STATEMENT}/p2.h.cybersecurity", f"{STATEMENT}/p2.f.predetermined_changes"),
)
"""Sources that the instructions quote."""


@needs(MANIFEST)
def ifu_ref(sources: Sources) -> Answer:
    """Return the instructions that belong to the release; missing while a section is open."""
    made = [instructions(sources, language) for language in LANGUAGES]
    waiting = open_sections(made[0])
    if waiting:
        return Missing(f"sections of the instructions are open: {', '.join(waiting)}")
    rows = [
        {
            "language": report.language,
            "version": version_of(report),
            "sha256": digest_of(canonical.encode(encode(report))),
        }
        for report in made
    ]
    return Found(rows, tuple(name for name in USED if sources.get(name) is not None))


RULES: dict[str, Rule] = {"p1.h.ifu_ref": ifu_ref}
