"""Sites without Orthanc: DIMSE services only, and a plain DICOMweb archive we did not write."""

from __future__ import annotations

import io
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from adapters.dicomweb.pacs import DicomwebPacs
from adapters.orthanc.local import LocalOrthanc
from adapters.orthanc.pacs import OrthancPacs
from tests.simulators.answers import drive
from tests.simulators.dicom_validators import dcmtk
from tests.simulators.dimse_peer import DimsePeer
from tests.simulators.example_site import prepare, served, small_phantom
from tests.simulators.orthanc import register_modality
from tests.simulators.tiny_pacs import TinyPacs

pytestmark = [pytest.mark.server, pytest.mark.slow]
RESULTS = {"RTSTRUCT", "SEG", "SC", "SR"}


def _free_port() -> int:
    with socket.socket() as item:
        item.bind(("127.0.0.1", 0))
        return int(item.getsockname()[1])


def _states(site: Any) -> dict[str, set[tuple[str, str, str]]]:
    """Return (kind, state, reason) of every document at each target."""
    found: dict[str, set[tuple[str, str, str]]] = {}
    with site.database.reading() as transaction:
        for row in transaction.runs():
            for item in transaction.deliveries(row.run_id):
                found.setdefault(item.target, set()).add((item.kind, item.state, item.reason))
    return found


def without_bone(seed: int) -> tuple[str, tuple[bytes, ...]]:
    """Return a study that gets another answer."""
    study, files = small_phantom(seed)
    found = []
    for data in files:
        dataset = pydicom.dcmread(io.BytesIO(data))
        dataset.PixelData = bytes(len(dataset.PixelData))
        sink = io.BytesIO()
        pydicom.dcmwrite(sink, dataset, enforce_file_format=True)
        found.append(sink.getvalue())
    return study, tuple(found)


def _push(files: tuple[bytes, ...], folder: Path, port: int) -> None:
    """Send files with dcmtk's C-STORE SCU, as a scanner does."""
    folder.mkdir(exist_ok=True)
    for number, content in enumerate(files):
        (folder / f"{number:03d}.dcm").write_bytes(content)
    command = [dcmtk("storescu"), "-aet", "CT1", "-aec", "OSTEON", "+sd", "127.0.0.1", str(port)]
    done = subprocess.run([*command, str(folder)], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]


def _dimse_site(
    port: int, orthanc: LocalOrthanc, tps: DimsePeer, viewer: DimsePeer
) -> dict[str, Any]:
    def target(name: str, peer: DimsePeer, document: str) -> dict[str, Any]:
        return {
            "name": name, "kind": "dimse", "peer_aet": peer.aet, "peer_host": "127.0.0.1",
            "peer_port": peer.port, "documents": [document],
        }  # fmt: skip

    return {
        "pacs": [
            {
                "name": "modalities", "kind": "dimse", "aet": "OSTEON", "port": port,
                "allowed_aets": ["CT1", orthanc.aet], "peer_aet": orthanc.aet,
                "peer_host": "127.0.0.1", "peer_port": orthanc.dicom_port,
            }
        ],
        "targets": [
            {"name": "pacs", "kind": "pacs", "pacs": "modalities"},
            target("tps", tps, "RTSTRUCT"),
            target("viewer", viewer, "SC"),
        ],
    }  # fmt: skip


def test_a_site_that_speaks_dimse_only(
    orthanc_server: LocalOrthanc, dimse_peer: Callable[..., DimsePeer], tmp_path: Path
) -> None:
    """A scanner's push leads to results at PACS, TPS and viewer, each verified as far as it can.

    The PACS (Orthanc) gives them back, the TPS commits itself, the viewer offers neither.
    The same push again changes nothing anywhere.
    """
    port = _free_port()
    register_modality(orthanc_server, "OSTEON", port)
    tps = dimse_peer({"store", "commitment"}, aet="TPS")
    viewer = dimse_peer({"store"}, aet="VIEWER")
    changes = _dimse_site(port, orthanc_server, tps, viewer)
    home = prepare(tmp_path, **changes)
    study, files = small_phantom(seed=91)
    local = orthanc_server
    with (
        OrthancPacs("look", local.url, local.username, local.password) as pacs,
        served(home, tmp_path, **changes) as (site, turn),
    ):
        turn()  # listens from now on
        for _ in range(2):
            _push(files, tmp_path / "scanner", port)
            assert drive(site, turn, 1) == ["done"]
            kept = sum(item.instance_count for item in pacs.search_series(study))
            assert kept == len(RESULTS)
            assert (len(tps.senders), len(viewer.senders)) == (1, 1)
        states = _states(site)
        assert states["pacs"] == {(kind, "verified", "") for kind in RESULTS}
        assert states["tps"] == {("RTSTRUCT", "verified", "COMMITTED")}
        assert states["viewer"] == {("SC", "stored", "NO_READ_BACK")}
        assert tps.senders == viewer.senders == ["OSTEON"]
        site.verify_log()


def test_a_plain_dicomweb_archive(tiny_pacs_server: TinyPacs, tmp_path: Path) -> None:
    """An upload leads to results in the archive, read back; the same upload again adds nothing.

    The server is shared: what other tests left there must not be taken up, however the tests
    are spread over processes.
    """
    server = tiny_pacs_server
    changes = {
        "trigger": {"quiet_time_s": 0.1, "poll_interval_s": 0.05, "first_look": "now"},
        "pacs": [
            {
                "name": "archive", "kind": "dicomweb", "url": server.dicomweb_url,
                "token": server.token,
            }
        ],
        "targets": [{"name": "archive", "kind": "pacs", "pacs": "archive"}],
    }  # fmt: skip
    home = prepare(tmp_path, **changes)
    study, files = small_phantom(seed=92)
    other, others = without_bone(seed=93)
    with (
        DicomwebPacs("sender", server.dicomweb_url, token=server.token) as sender,
        served(home, tmp_path, **changes) as (site, turn),
    ):
        sender.store(other, others)  # as a test before this one may have
        turn()
        for _ in range(2):
            sender.store(study, files)
            assert drive(site, turn, 1) == ["done"]
            series = sender.search_series(study)
            count = sum(
                len(sender.search_instances(study, item.series_instance_uid)) for item in series
            )
            assert count == len(files) + len(RESULTS)
        assert _states(site) == {"archive": {(kind, "verified", "") for kind in RESULTS}}
        with site.database.reading() as transaction:
            (row,) = transaction.runs()
        assert row.study_instance_uid == study
        site.verify_log()
