"""An Orthanc of our own on loopback, for a demonstration or a test.

It listens on 127.0.0.1 only, wants a password made for this start, and keeps everything
in one folder.

Read next: `pacs.py`.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from adapters.orthanc.pacs import OrthancPacs
from audit.errors import ConfigurationError, SuiteError, UnavailableError

START_LIMIT_S = 20.0
_PLUGIN_FOLDERS = (
    "/usr/share/orthanc/plugins",
    "/usr/lib/orthanc",
    "/usr/local/share/orthanc/plugins",
)


@dataclass(frozen=True, slots=True)
class LocalOrthanc:
    """How to reach it; ``dicomweb_url`` is "" where its DICOMweb plugin is not installed."""

    url: str
    dicomweb_url: str
    username: str
    password: str
    aet: str
    dicom_port: int
    folder: Path


def find_orthanc() -> str | None:
    """Return the path of the Orthanc program, None where it is not installed."""
    return shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def start_local_orthanc(
    folder: Path,
    *,
    modalities: Mapping[str, tuple[str, str, int]] | None = None,
    options: Mapping[str, object] | None = None,
) -> Iterator[LocalOrthanc]:
    """Run an Orthanc in ``folder`` while the context lasts.

    Parameters
    ----------
    modalities : name -> (AE title, host, port) of DICOM peers that it knows; None switches
        its DICOM server off.
    options : more of Orthanc's own configuration, which wins over ours.

    Raises
    ------
    ConfigurationError : the program is not installed.
    UnavailableError : it did not answer in time.
    """
    program = find_orthanc()
    if program is None:
        raise ConfigurationError(
            "expected the program Orthanc, found none",
            advice="Install it (Debian: `apt install orthanc orthanc-dicomweb`) or use the "
            "embedded folder.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    http_port, dicom_port = _free_ports(2)
    local = LocalOrthanc(
        f"http://127.0.0.1:{http_port}",
        f"http://127.0.0.1:{http_port}/dicom-web" if _dicomweb_plugin() else "",
        "osteon",
        secrets.token_urlsafe(18),
        "ORTHANC",
        dicom_port,
        folder,
    )
    settings = {**_settings(local, http_port, modalities), **(options or {})}
    path = folder / "orthanc.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    with (folder / "orthanc.log").open("ab") as log:
        process = subprocess.Popen([program, str(path)], stdout=log, stderr=log)
    try:
        _await(local, process)
        yield local
    finally:
        _stop(process)


def _settings(
    local: LocalOrthanc, http_port: int, modalities: Mapping[str, tuple[str, str, int]] | None
) -> dict[str, object]:
    plugin = _dicomweb_plugin()
    return {
        "Name": "osteon-local",
        "StorageDirectory": str(local.folder / "storage"),
        "IndexDirectory": str(local.folder / "storage"),
        "HttpPort": http_port,
        "HttpBindAddresses": ["127.0.0.1"],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {local.username: local.password},
        # its DICOM port cannot be bound to loopback: open only where DICOM is asked for
        "DicomServerEnabled": modalities is not None,
        "DicomAet": local.aet,
        "DicomPort": local.dicom_port,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomModalities": {
            name: {
                "AET": aet,
                "Host": host,
                "Port": port,
                "AllowEcho": True,
                "AllowFind": True,
                "AllowGet": True,
                "AllowMove": True,
                "AllowStore": True,
                "AllowStorageCommitment": True,
            }
            for name, (aet, host, port) in (modalities or {}).items()
        },
        "StableAge": 1,
        "StorageCommitmentReportsSize": 100,
        "Plugins": [str(plugin)] if plugin else [],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }


def _dicomweb_plugin() -> Path | None:
    for folder in _PLUGIN_FOLDERS:
        for path in sorted(Path(folder).glob("libOrthancDicomWeb.so*")):
            return path
    return None


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [int(item.getsockname()[1]) for item in sockets]
    finally:
        for item in sockets:
            item.close()


def _await(local: LocalOrthanc, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    with OrthancPacs("local", local.url, local.username, local.password, timeout_s=2) as pacs:
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(SuiteError):
                pacs.check()
                return
            time.sleep(0.05)
    raise UnavailableError(f"expected Orthanc to answer within {START_LIMIT_S:.0f} s, it did not")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
