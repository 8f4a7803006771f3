"""The site's protocols: dose levels, fractions and dose-volume goals, each in a TOML file.

The shape stands in ``docs/prescriptions.md`` with an example in ``docs/examples/protocols``.
A protocol applies to a study whose tags fulfil all its rules (``when``), or which an intent
or an order names; one without rules has to be named.

Standard: AAPM TG-263 (names of targets and structures, notation of DVH metrics).

Read next: `statements.py`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from adapters.config import Configuration
from adapters.config_sections import Section
from adapters.home import Home
from audit.errors import ConfigurationError, InputError
from plugins.host.manifest import Rule
from plugins.host.prescription import DoseGoal, PrescribedTarget, Prescription
from plugins.host.routing import fulfils

SCHEMA = "osteon.protocol/1"
_ADVICE = "Correct the file; docs/prescriptions.md has the shape, docs/examples one protocol."
_LARGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Protocol:
    """One protocol of the site.

    Parameters
    ----------
    name : short and stable; it goes into records and results.
    codes : by which an order or an intent names it.
    is_example : made to show the shape; never used in clinical mode.
    when : rules on DICOM keywords of a study; all must hold.
    """

    name: str
    title: str
    targets: tuple[PrescribedTarget, ...]
    fraction_count: int | None
    goals: tuple[DoseGoal, ...]
    codes: tuple[str, ...] = ()
    is_example: bool = False
    when: tuple[Rule, ...] = ()

    def prescription(self) -> Prescription:
        """Return the doses that the protocol states, with its goals."""
        return Prescription(
            self.targets,
            "protocol",
            self.name,
            self.fraction_count,
            goals=self.goals,
            protocol=self.name,
        )

    def applies(self, tags: Iterable[Mapping[str, str]]) -> bool:
        """Return whether one of a study's series fulfils all rules."""
        return bool(self.when) and any(
            all(fulfils(rule, item) for rule in self.when) for item in tags
        )


class _Target(Section):
    name: str = Field(min_length=1)
    dose_gy: float


class _Goal(Section):
    structure: str
    metric: str
    relation: Literal["at_most", "at_least"]
    limit: float
    source: str
    priority: int = 1


class _When(Section):
    keyword: str = Field(pattern="[A-Za-z]+")
    operator: Literal["equals", "in", "contains", "matches", "present", "absent"]
    value: str | list[str] | None = None
    negate: bool = False


class _File(Section):
    schema_: Literal["osteon.protocol/1"] = Field(alias="schema")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")
    title: str
    status: Literal["example", "in-use"]
    fractions: int | None = None
    codes: list[str] = Field(default_factory=list)
    targets: list[_Target] = Field(min_length=1)
    when: list[_When] = Field(default_factory=list)
    goals: list[_Goal] = Field(default_factory=list)


def protocols_of(home: Home, configuration: Configuration) -> tuple[Protocol, ...]:
    """Return the protocols of a site.

    Raises
    ------
    ConfigurationError : as `load_protocols`; or one is an example and the site clinical.
    """
    paths = [home.root / name for name in configuration.prescriptions.protocols]
    found = load_protocols(paths)
    examples = [item.name for item in found if item.is_example]
    if examples and configuration.site.mode == "clinical":
        raise ConfigurationError(
            f"expected protocols in use at a clinical site, found the example {examples[0]!r}",
            advice="Write the site's own, with status in-use, or leave it out of prescriptions.",
        )
    return found


def load_protocols(paths: Sequence[Path]) -> tuple[Protocol, ...]:
    """Return the protocols of these files, in their order.

    Raises
    ------
    ConfigurationError : a file cannot be read or is no protocol (file and key are named), or
        two have a name or a code in common.
    """
    found = tuple(load_protocol(path) for path in paths)
    known: dict[str, str] = {}
    for protocol in found:
        for name in (protocol.name, *protocol.codes):
            if known.setdefault(name, protocol.name) != protocol.name:
                raise ConfigurationError(
                    f"expected one protocol called {name!r}, found {known[name]} and "
                    f"{protocol.name}"
                )
    if len({item.name for item in found}) < len(found):
        raise ConfigurationError("expected protocols with different names, found one twice")
    return found


def load_protocol(path: Path) -> Protocol:
    """Return the protocol of a file; ConfigurationError as `load_protocols`."""
    try:
        content = path.read_bytes()[:_LARGEST]
        document = tomllib.loads(content.decode())
    except OSError as error:
        raise ConfigurationError(
            f"expected a readable protocol file {path.name}, found {error.strerror}"
        ) from error
    except ValueError as error:
        raise ConfigurationError(
            f"expected TOML in protocol file {path.name}, found a fault: {error}", advice=_ADVICE
        ) from error
    try:
        return _protocol(_File.model_validate(document))
    except ValidationError as error:
        raise _fault(path, error) from error
    except InputError as error:
        raise ConfigurationError(f"protocol file {path.name}: {error}", advice=_ADVICE) from error


def _protocol(file: _File) -> Protocol:
    protocol = Protocol(
        name=file.name,
        title=file.title,
        targets=tuple(PrescribedTarget(item.dose_gy, item.name) for item in file.targets),
        fraction_count=file.fractions,
        goals=tuple(DoseGoal(**item.model_dump()) for item in file.goals),
        codes=tuple(file.codes),
        is_example=file.status == "example",
        when=tuple(_rule(item) for item in file.when),
    )
    protocol.prescription()  # raises InputError where doses, fractions or goals are none
    return protocol


def _rule(item: _When) -> Rule:
    value: Any = tuple(item.value) if isinstance(item.value, list) else item.value
    if item.operator not in ("present", "absent") and not value:
        raise InputError(f"expected a value of the rule on {item.keyword}, found none")
    return Rule(item.keyword, item.operator, value, negate=item.negate)


def _fault(path: Path, error: ValidationError) -> ConfigurationError:
    """Name the file, the key and what is wrong with it, of the first fault."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return ConfigurationError(
        f"protocol file {path.name}: {place}: {first['msg'].lower()}", advice=_ADVICE
    )
