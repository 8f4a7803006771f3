"""Instructions for use of a release, from the same sources and with the same numbers.

One section for each point of Art. 13(3); a section without a source prints MISSING, and the
instructions are complete only when none does.  Headings are in the reader's language; what the
author of the plugin wrote is quoted in English and marked so.  The version is bound to the
release digest and to the content: another plan of changes or another figure is another version.

Source: Regulation (EU) 2024/1689 Art. 13(3)(a) to (f); Regulation (EU) 2017/745 Annex I 23.4;
REGULATORY.md AIA-13.3b, AIA-13.3c.

Read next: `instructions_parts.py`, `log_guide.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from audit import canonical
from governance.instructions_parts import (
    MISSING,
    accuracy,
    changes,
    explanation,
    groups,
    input_data,
    interpretation,
    logs,
    oversight,
    provider,
    purpose,
    resources,
    risks,
    robustness,
)
from governance.instructions_texts import TITLES
from governance.release import digest_of
from governance.report import (
    Block,
    Cell,
    Code,
    Language,
    Notice,
    Paragraph,
    Report,
    Section,
    Status,
    encode,
)
from governance.technical_file.found import MALFORMED
from governance.technical_file.sources import Sources

Part = Callable[[Sources, Language], tuple[Block, ...]]
PARTS: tuple[tuple[str, str, Part], ...] = (
    ("provider", "13(3)(a)", provider),
    ("purpose", "13(3)(b)(i)", purpose),
    ("accuracy", "13(3)(b)(ii)", accuracy),
    ("robustness", "13(3)(b)(ii)", robustness),
    ("risks", "13(3)(b)(iii)", risks),
    ("explanation", "13(3)(b)(iv)", explanation),
    ("groups", "13(3)(b)(v)", groups),
    ("input", "13(3)(b)(vi)", input_data),
    ("interpretation", "13(3)(b)(vii)", interpretation),
    ("changes", "13(3)(c)", changes),
    ("oversight", "13(3)(d)", oversight),
    ("resources", "13(3)(e)", resources),
    ("logs", "13(3)(f)", logs),
)
"""Section key, point of the law, what fills it."""
SECTIONS = frozenset(key for key, _, _ in PARTS)
_KIND = {"en": "Instructions for use", "de": "Gebrauchsanweisung"}
_FACTS = {"en": ("Version", "Release digest"), "de": ("Version", "Release-Digest")}
_OPEN = {
    "en": "Draft: {count} sections are missing",
    "de": "Entwurf: {count} Abschnitte fehlen",
}


def instructions(sources: Sources, language: Language) -> Report:
    """Return the instructions for use of a release in one language."""
    sections = tuple(_section(key, law, part, sources, language) for key, law, part in PARTS)
    open_count = len(_open(sections))
    standing = Status("")
    if open_count:
        standing = Status(_OPEN[language].format(count=open_count), "bad")
    version_word, digest_word = _FACTS[language]
    plain = Report(
        title=f"{sources.plugin} {sources.version}".strip() or MISSING,
        kind=_KIND[language],
        language=language,
        facts=((digest_word, Code(sources.release_digest or MISSING)),),
        sections=sections,
        standing=standing,
    )
    facts: tuple[tuple[str, Cell], ...] = ((version_word, _version(plain, sources)), *plain.facts)
    return Report(plain.title, plain.kind, language, facts, sections, standing)


def open_sections(report: Report) -> tuple[str, ...]:
    """Return the keys of the sections that print MISSING."""
    return _open(report.sections)


def version_of(report: Report) -> str:
    """Return the version of instructions: version of the plugin, language, content."""
    return str(report.facts[0][1])


def _version(plain: Report, sources: Sources) -> str:
    content = digest_of(canonical.encode(encode(plain))).removeprefix("sha256:")
    return f"{sources.version or '0'}-{plain.language}-{content[:12]}"


def _section(key: str, law: str, part: Part, sources: Sources, language: Language) -> Section:
    title = TITLES[key][0 if language == "en" else 1]
    try:
        blocks = part(sources, language)
    except MALFORMED as error:  # a document that cannot be read is a gap, not a crash
        blocks = (Notice(f"{MISSING}: {error or type(error).__name__}", "bad"),)
    return Section(title, (*blocks, Paragraph(f"Art. {law}", small=True)), key=key)


def _open(sections: tuple[Section, ...]) -> tuple[str, ...]:
    return tuple(
        section.key
        for section in sections
        if any(isinstance(b, Notice) and b.text.startswith(MISSING) for b in section.blocks)
    )
