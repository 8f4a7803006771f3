"""Archives and targets as the configuration names them.

Read next: `pacs.py`, `delivery/target.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.config_sections import PacsSection, TargetSection
from adapters.delivery.target import Target
from adapters.dimse.peer import Peer
from adapters.home import Home
from adapters.pacs import Pacs

if TYPE_CHECKING:
    from adapters.fhir.client import FhirClient


def build_archives(sections: Sequence[PacsSection], home: Home) -> dict[str, Pacs]:
    """Return the configured archives by name; nothing is contacted yet."""
    return {section.name: _archive(section, home) for section in sections}


def _archive(section: PacsSection, home: Home) -> Pacs:
    password = section.password.get_secret_value()
    if section.kind == "folder":
        from adapters.folder.pacs import FolderPacs

        return FolderPacs(section.name, Path(section.path))
    if section.kind == "orthanc":
        from adapters.orthanc.pacs import OrthancPacs

        return OrthancPacs(
            section.name,
            section.url,
            section.username,
            password,
            timeout_s=section.timeout_s,
            verify=section.verify_tls,
        )
    if section.kind == "dicomweb":
        from adapters.dicomweb.pacs import DicomwebPacs

        return DicomwebPacs(
            section.name,
            section.url,
            username=section.username or None,
            password=password or None,
            token=section.token.get_secret_value() or None,
            verify=section.verify_tls,
            timeout_s=section.timeout_s,
        )
    from adapters.dimse.pacs import DimsePacs

    peer = None
    if section.peer_host:
        peer = Peer(section.peer_aet, section.peer_host, section.peer_port)
    return DimsePacs(
        section.name,
        home.pacs / section.name,
        aet=section.aet,
        port=section.port,
        peer=peer,
        allowed_aets=tuple(section.allowed_aets),
    )


def build_targets(
    sections: Sequence[TargetSection], archives: Mapping[str, Pacs], home: Home
) -> tuple[Target, ...]:
    """Return the configured targets, in the order of the configuration."""
    return tuple(_target(section, archives, home) for section in sections)


def _target(section: TargetSection, archives: Mapping[str, Pacs], home: Home) -> Target:
    from adapters.delivery.folder import FolderTarget, fhir_folder
    from adapters.delivery.pacs import PacsTarget
    from adapters.delivery.target import DICOM_KINDS

    kinds = frozenset[str](section.documents) or DICOM_KINDS
    if section.kind == "pacs":
        return PacsTarget(section.name, archives[section.pacs], kinds)
    if section.kind == "folder":
        return FolderTarget(section.name, Path(section.path), kinds)
    if section.kind == "fhir-folder":
        return fhir_folder(section.name, Path(section.path))
    if section.kind == "fhir":
        return _fhir(section)
    from adapters.delivery.dimse import DimseTarget

    peer = Peer(section.peer_aet, section.peer_host, section.peer_port)
    return DimseTarget(
        section.name, peer, own_aet=section.aet, reports=_commitments(archives, home), kinds=kinds
    )


def _fhir(section: TargetSection) -> Target:
    from adapters.delivery.fhir import FhirTarget

    return FhirTarget(section.name, fhir_client(section))


def fhir_client(section: TargetSection) -> FhirClient:
    """Return a client of the server that a target of kind fhir names."""
    from adapters.fhir.client import FhirClient

    return FhirClient(
        section.url,
        token=section.token.get_secret_value() or None,
        verify_tls=section.verify_tls,
    )


def _commitments(archives: Mapping[str, Pacs], home: Home) -> Path:
    """Return where Storage Commitment reports arrive: at our storage SCP, if there is one."""
    from adapters.dimse.pacs import DimsePacs

    for name, archive in archives.items():
        if isinstance(archive, DimsePacs):
            return home.pacs / name / "commitments"
    return home.outbox / "commitments"
