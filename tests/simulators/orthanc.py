"""A real Orthanc on loopback: authentication on, DICOMweb plugin, ports of its own.

Fixture: ``orthanc_server``.

Read next: `tiny_pacs.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from adapters.orthanc.local import LocalOrthanc, find_orthanc, start_local_orthanc


@pytest.fixture(scope="session")
def orthanc_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalOrthanc]:
    """Yield an Orthanc that runs for the whole session; tests bring UIDs of their own."""
    if find_orthanc() is None:
        pytest.skip("Orthanc is not installed")
    with start_local_orthanc(tmp_path_factory.mktemp("orthanc"), modalities={}) as local:
        if not local.dicomweb_url:
            pytest.skip("the DICOMweb plugin of Orthanc is not installed")
        yield local


def register_modality(orthanc: LocalOrthanc, aet: str, port: int) -> None:
    """Make Orthanc know an AE title on loopback, with every service allowed."""
    with httpx.Client(auth=(orthanc.username, orthanc.password)) as client:
        answer = client.put(
            f"{orthanc.url}/modalities/{aet}",
            json={
                "AET": aet,
                "Host": "127.0.0.1",
                "Port": port,
                "AllowEcho": True,
                "AllowFind": True,
                "AllowGet": True,
                "AllowMove": True,
                "AllowStore": True,
                "AllowStorageCommitment": True,
            },
        )
        answer.raise_for_status()
