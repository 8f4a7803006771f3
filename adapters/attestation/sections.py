"""The part of the configuration that says who holds our log to what it showed.

Read next: `building.py`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from adapters.config_sections import Section


class WitnessSection(Section):
    """A witness: its submission prefix and the public keys that it gave us (its ``init``)."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$")
    url: str = Field(pattern=r"^https?://[^\s?#]+$")
    keys: list[str] = Field(min_length=1)


class AuthoritySection(Section):
    """A time-stamp authority (RFC 3161) and the certificates that it must lead to.

    ``every_s``: least seconds between two time-stamps; the newest checkpoint gets it.  Each
    leaves a record about our clock, so that less than a minute would feed itself.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$")
    url: str = Field(pattern=r"^https?://[^\s]+$")
    ca_file: str = Field(min_length=1)
    every_s: float = Field(default=3600.0, ge=60)


class AnchorSection(Section):
    """A place where checkpoints are kept: a ``folder`` elsewhere, or ``mail`` to somebody.

    Mail leaves by the server of the section ``notices``.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$")
    kind: Literal["folder", "mail"]
    path: str = ""
    to: list[str] = Field(default_factory=list)
    every_s: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _needs(self) -> AnchorSection:
        if self.kind == "folder" and not self.path:
            raise ValueError(f"anchor {self.name!r} of kind folder needs path")
        if self.kind == "mail" and not self.to:
            raise ValueError(f"anchor {self.name!r} of kind mail needs to")
        return self


class LogSection(Section):
    """Who keeps checkpoints of the audit log, and by which clocks ours is judged.

    Parameters
    ----------
    clock_limit_ms : an offset beyond it is a finding (REGULATORY.md TLOG-2: 1 s).
    """

    witnesses: list[WitnessSection] = Field(default_factory=list)
    authorities: list[AuthoritySection] = Field(default_factory=list)
    anchors: list[AnchorSection] = Field(default_factory=list)
    ntp_servers: list[str] = Field(default_factory=list)
    clock_limit_ms: float = Field(default=1000.0, gt=0)

    @model_validator(mode="after")
    def _unique(self) -> LogSection:
        names = [
            *(item.name for item in self.witnesses),
            *(item.name for item in self.authorities),
            *(item.name for item in self.anchors),
        ]
        if len(set(names)) != len(names):
            raise ValueError("names of witnesses, authorities and anchors must be unique")
        return self
