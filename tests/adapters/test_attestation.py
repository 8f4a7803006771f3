"""Checkpoints leave the house: witnesses, authorities and anchors, over real doors."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from adapters.attestation.anchors import FolderAnchor, MailAnchor, Mailbox
from adapters.attestation.attestor import Attestor
from adapters.attestation.building import build_attestors
from adapters.attestation.checking import attested_site
from adapters.attestation.clock import ask_ntp, compare
from adapters.attestation.forwarding import GROUP, Forwarder
from adapters.attestation.sections import LogSection
from adapters.attestation.time_stamping import TimeStampAuthority
from adapters.config_sections import NoticesSection
from adapters.witness.client import WitnessClient
from adapters.witness.folder import add_log, witness_keys
from adapters.witness.server import witness_in_background
from audit.attested import Attested
from audit.bundle import check_bundle_attested, read_bundle, verify_bundle, write_bundle
from audit.checkpoint import verify
from audit.errors import ConfigurationError, LogTamperedError, StorageError, UnavailableError
from audit.record import make_record
from audit.timestamp import read_authorities
from audit.verify import verify_site
from tests.simulators.site_database import SOURCE, START, Recorded
from tests.simulators.time_stamp_authority import EmbeddedAuthority, authority_server, issue

ISSUED = issue()
NAME = "witness.test/a"


def grow(site: Recorded, *counts: int) -> None:
    """Add records, one checkpoint after each group, a minute apart."""
    for count in counts:
        with site.database.transaction() as transaction:
            for number in range(count):
                body = {"code": f"X{number}", "where": "test"}
                site.log.append(transaction, make_record("fault", SOURCE, site.clock(), body))
        site.clock.advance(60)
        site.log.seal(site.database)


def _forwarder(site: Recorded, *attestors: Attestor) -> Forwarder:
    return Forwarder(site.database, attestors, site.journal, site.clock)


def _client(folder: Path, url: str) -> WitnessClient:
    return WitnessClient("hospital-b", url, [item.key for item in witness_keys(folder, NAME)])


@pytest.fixture
def folder(tmp_path: Path, sqlite_recorded: Recorded) -> Path:
    """A witness folder that knows the log."""
    place = tmp_path / "witness"
    witness_keys(place, NAME)
    add_log(place, sqlite_recorded.key)
    return place


def _said(site: Recorded, kind: str | None = None) -> list[tuple[int, str]]:
    with site.database.reading() as store:
        return [(item.tree_size, item.name) for item in store.attestations(kind)]


def test_every_checkpoint_is_cosigned_after_an_outage(
    sqlite_recorded: Recorded, folder: Path
) -> None:
    """Nothing is lost while the witness is away, and nothing is sent twice."""
    site = sqlite_recorded
    forwarder = _forwarder(site, _client(folder, "http://127.0.0.1:9/"))
    grow(site, 3, 4, 5)
    assert forwarder.turn() == 0  # nobody there
    with witness_in_background(folder, now=site.clock) as url:
        forwarder = _forwarder(site, _client(folder, url))
        assert forwarder.turn() == 3
        assert forwarder.turn() == 0
        grow(site, 1)
        assert forwarder.turn() == 1
    assert _said(site) == [(size, "hospital-b") for size in (3, 7, 12, 13)]
    assert not any(record.body["code"] == "WITNESS_REFUSED" for record in site.records("fault"))


def test_a_lost_answer_is_asked_for_again(sqlite_recorded: Recorded, folder: Path) -> None:
    """A crash between the witness's answer and our row costs nothing."""
    site = sqlite_recorded
    grow(site, 3, 4)
    with witness_in_background(folder, now=site.clock) as url:
        client = _client(folder, url)
        _forwarder(site, client).turn()
        for trigger in ("attestation_no_delete", "attestation_no_update"):
            with site.database.transaction() as store:
                store.connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
        with site.database.transaction() as store:
            store.connection.exec_driver_sql("DELETE FROM attestation WHERE tree_size = 7")
        assert _forwarder(site, client).turn() == 1
        # Without any row of ours the witness has seen a later one for the first of them.
        with site.database.transaction() as store:
            store.connection.exec_driver_sql("DELETE FROM attestation")
        assert _forwarder(site, client).turn() == 1
    assert _said(site) == [(7, "hospital-b")]


def test_rows_of_statements_cannot_be_changed(recorded: Recorded, tmp_path: Path) -> None:
    """The database refuses to change or delete a cosignature, on each kind of database."""
    grow(recorded, 2)
    anchor = FolderAnchor("tape", tmp_path)
    assert _forwarder(recorded, anchor).turn() == 1
    for statement in ("DELETE FROM attestation", "UPDATE attestation SET content = 'x'"):
        with pytest.raises(StorageError), recorded.database.transaction() as store:
            store.connection.exec_driver_sql(statement)
    assert _said(recorded) == [(2, "tape")]


def _rebuilt(site: Recorded, tmp_path: Path) -> Recorded:
    """Return the log written anew with its own key: other records, as many as before."""
    from adapters.database import Database
    from adapters.database.vault import SqliteVault

    database = Database(f"sqlite:///{tmp_path / 'rebuilt.db'}")
    database.upgrade()
    return Recorded(database, SqliteVault(tmp_path / "rebuilt-vault.db"), site.clock)


@pytest.mark.reg("TLOG-1")
def test_a_log_written_anew_is_refused_and_put_on_record(
    sqlite_recorded: Recorded, folder: Path, tmp_path: Path
) -> None:
    """Who rebuilds or rolls back the log finds no witness, and no verifier who takes it."""
    site = sqlite_recorded
    grow(site, 3, 4)
    with witness_in_background(folder, now=site.clock) as url:
        client = _client(folder, url)
        keys = [item.key for item in witness_keys(folder)]
        section = LogSection(
            witnesses=[{"name": "hospital-b", "url": url, "keys": [k.text() for k in keys]}]  # type: ignore[list-item]
        )
        _forwarder(site, client).turn()
        assert attested_site(site.database, section).cosigned[0].size == 7
        for counts in ((3,), (3, 4), (3, 4, 5)):
            other = _rebuilt(site, tmp_path)
            grow(other, *counts)
            forwarder = _forwarder(other, client)
            assert forwarder.turn() == 0
            assert forwarder.turn() == 0
            other.log.seal(other.database)
            faults = [r for r in other.records("fault") if r.body["code"] == "WITNESS_REFUSED"]
            assert len(faults) == 1
            assert verify_site(other.database, other.key, now=site.clock()).tree_size > 0
            with pytest.raises(LogTamperedError, match="cosigned, found none"):
                attested_site(other.database, section)
            other.database.close()
            other.vault.close()
            for name in ("rebuilt.db", "rebuilt.db-wal", "rebuilt.db-shm", "rebuilt-vault.db"):
                (tmp_path / name).unlink(missing_ok=True)
    anchor = next((folder / "seen").glob("*.txt")).read_text()
    assert verify(anchor, site.key).size == 7


def test_a_bundle_carries_cosignatures_and_time_stamps(
    sqlite_recorded: Recorded, folder: Path, tmp_path: Path
) -> None:
    """An outsider with the keys of a witness and of an authority sees how far they vouch."""
    site = sqlite_recorded
    authority = EmbeddedAuthority(ISSUED, site.clock)
    roots = read_authorities(ISSUED.root_pem())
    with (
        witness_in_background(folder, now=site.clock) as url,
        authority_server(authority.answer) as tsa,
    ):
        client = _client(folder, url)
        stamping = TimeStampAuthority("tsa", tsa, roots, site.clock, every_s=3600)
        grow(site, 3, 4)
        assert _forwarder(site, client, stamping).turn() == 3
        grow(site, 5)
        assert _forwarder(site, client, stamping).turn() == 1  # within the hour
        site.clock.advance(3600)
        assert _forwarder(site, client, stamping).turn() == 1
    assert _said(site, "timestamp") == [(7, "tsa"), (13, "tsa")]
    path = tmp_path / "log.zip"
    with site.database.reading() as store:
        leaves = store.leaves(0, store.tree_size())
        write_bundle(path, leaves, store.checkpoints(), site.key, store.attestations())
    summary = verify_bundle(path, site.key)
    assert summary.checkpoint_count == 3
    keys = [item.key for item in witness_keys(folder)]
    found = check_bundle_attested(read_bundle(path), (), keys, roots)
    assert [(item.name, item.size) for item in found.cosigned] == [(NAME, 13), (NAME, 13)]
    assert [(item.name, item.size) for item in found.stamped] == [("tsa", 13)]
    assert found.stamped[0].stamped.at == site.clock()  # whole seconds
    assert check_bundle_attested(read_bundle(path)) == Attested()
    stranger = witness_keys(tmp_path / "other", "witness.test/other")[0].key
    with pytest.raises(LogTamperedError, match=r"witness\.test/other cosigned"):
        check_bundle_attested(read_bundle(path), (), [stranger], ())
    with pytest.raises(LogTamperedError, match="time-stamp"):
        check_bundle_attested(read_bundle(path), (), (), read_authorities(issue().root_pem()))


@pytest.mark.reg("TLOG-2")
@pytest.mark.parametrize(("off_s", "event"), [(0.3, "within"), (5.0, "beyond"), (-5.0, "beyond")])
def test_the_offset_of_our_clock_is_on_record(
    sqlite_recorded: Recorded, off_s: float, event: str
) -> None:
    """A time-stamp says how far our clock is off, and the records that follow carry it."""
    site = sqlite_recorded
    authority = EmbeddedAuthority(ISSUED, lambda: site.clock() + timedelta(seconds=off_s))
    roots = read_authorities(ISSUED.root_pem())
    with authority_server(authority.answer) as tsa:
        grow(site, 2)
        _forwarder(site, TimeStampAuthority("tsa", tsa, roots, site.clock)).turn()
    site.log.seal(site.database)
    (record,) = site.records("clock")
    assert record.body["event"] == f"offset-{event}-limit"
    assert abs(record.body["offset_ms"] - off_s * 1000) <= record.body["uncertainty_ms"] <= 600
    assert record.outcome.reason == ("CLOCK_OFF" if event == "beyond" else "")
    with site.database.transaction() as store:
        site.journal.fault(store, "X", "test")
    site.log.seal(site.database)
    clock = site.records("fault")[-1].clock
    assert clock["source"] == "rfc3161:tsa"
    assert clock["offset_ms"] == record.body["offset_ms"]


@contextmanager
def _ntp_server(offset_s: float, stratum: int = 2, mode: int = 4) -> Iterator[int]:
    """An SNTP server whose clock is off; it answers one packet after the other."""
    door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    door.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            data, peer = door.recvfrom(100)
            if not data:
                return
            origin = data[40:48]
            seconds, part = struct.unpack("!II", origin)
            theirs = seconds + part / 2**32 + offset_s
            stamp = struct.pack("!II", int(theirs), int((theirs % 1) * 2**32))
            door.sendto(
                struct.pack("!BBbb3I", 0x20 | mode, stratum, 0, 0, 0, 0, 0)
                + bytes(8) + origin + stamp + stamp, peer,
            )  # fmt: skip

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield door.getsockname()[1]
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", door.getsockname())
        thread.join()
        door.close()


def test_an_ntp_server_says_how_far_our_clock_is_off() -> None:
    """The offset is that of RFC 5905; a server that has no time itself does not count."""
    with _ntp_server(2.5) as port:
        reading = ask_ntp("127.0.0.1", lambda: START, port=port)
        assert reading.offset_ms == pytest.approx(2500, abs=0.01)
        assert (reading.source, reading.stratum) == ("ntp:127.0.0.1", 2)
    for fault in ({"stratum": 0}, {"stratum": 16}, {"mode": 3}):
        with _ntp_server(0.0, **fault) as port, pytest.raises(UnavailableError):
            ask_ntp("127.0.0.1", lambda: START, port=port)
    with pytest.raises(UnavailableError):
        ask_ntp("127.0.0.1", lambda: START, port=9, timeout_s=0.2)


def test_an_offset_is_half_a_round_trip_sure() -> None:
    """A time between two moments of ours is as exact as they lie apart."""
    reading = compare("x", START, START + timedelta(seconds=1), START + timedelta(seconds=1), 0.5)
    assert (reading.offset_ms, reading.uncertainty_ms) == (500, 1000)


def test_checkpoints_lie_in_a_folder_elsewhere(sqlite_recorded: Recorded, tmp_path: Path) -> None:
    """Each in a file of its own; another one under the same name is a finding."""
    site = sqlite_recorded
    place = tmp_path / "tape"
    forwarder = _forwarder(site, FolderAnchor("tape", place))
    grow(site, 3)
    assert forwarder.turn() == 0  # the medium is not there yet
    place.mkdir()
    assert forwarder.turn() == 1
    assert verify((place / "3.txt").read_text(), site.key).size == 3
    grow(site, 1)
    (place / "4.txt").write_text((place / "3.txt").read_text())
    assert forwarder.turn() == 0
    site.log.seal(site.database)
    assert site.records("fault")[-1].body["where"] == "anchor:tape"


class _Box:
    """Keeps what a mail server got."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_DATA(self, server, session, envelope) -> str:  # type: ignore[no-untyped-def]  # noqa: N802
        self.mails.append(envelope.content)
        return "250 OK"


def test_checkpoints_go_out_by_mail(sqlite_recorded: Recorded) -> None:
    """A real mail server gets the note as a file; one a day, and after an outage the newest."""
    site = sqlite_recorded
    box = _Box()
    server = Controller(box, hostname="127.0.0.1", port=0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server.port = free.getsockname()[1]
    mailbox = Mailbox("127.0.0.1", server.port, "osteon@site.test", ["officer@site.test"])
    forwarder = _forwarder(site, MailAnchor("officer", mailbox, 86_400))
    grow(site, 3)
    assert forwarder.turn() == 0
    server.start()
    try:
        grow(site, 2)
        assert forwarder.turn() == 1
        grow(site, 2)
        assert forwarder.turn() == 0
        site.clock.advance(86_400)
        assert forwarder.turn() == 1
    finally:
        server.stop()
    sizes = []
    for mail in box.mails:
        (part,) = [p for p in message_from_bytes(mail).walk() if p.get_filename()]
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        sizes.append(verify(content.decode(), site.key).size)
    assert sizes == [5, 7]


def test_the_configuration_names_them(tmp_path: Path, folder: Path) -> None:
    """Keys and certificates are read when the site opens, and what is missing is named."""
    (tmp_path / "ca.pem").write_bytes(ISSUED.root_pem())
    key = witness_keys(folder)[0].key.text()
    section = LogSection.model_validate(
        {
            "witnesses": [{"name": "b", "url": "http://127.0.0.1:1", "keys": [key]}],
            "authorities": [
                {"name": "t", "url": "http://127.0.0.1:2", "ca_file": str(tmp_path / "ca.pem")}
            ],
            "anchors": [
                {"name": "d", "kind": "folder", "path": str(tmp_path)},
                {"name": "m", "kind": "mail", "to": ["a@b.test"]},
            ],
        }
    )
    notices = NoticesSection(smtp_host="127.0.0.1")
    built = build_attestors(section, notices, lambda: START)
    assert [(item.name, item.kind, item.every_s) for item in built] == [
        ("b", "cosignature", 0),
        ("t", "timestamp", 3600),
        ("d", "anchor", 0),
        ("m", "anchor", 86_400),
    ]
    with pytest.raises(ConfigurationError, match="smtp_host"):
        build_attestors(section, NoticesSection(), lambda: START)
    (tmp_path / "ca.pem").unlink()
    with pytest.raises(ConfigurationError, match="ca_file"):
        build_attestors(section, notices, lambda: START)
    with pytest.raises(ValueError, match="unique"):
        LogSection.model_validate({"anchors": [{"name": "d", "kind": "folder", "path": "x"}] * 2})


def test_a_long_outage_is_caught_up_in_groups(sqlite_recorded: Recorded, tmp_path: Path) -> None:
    """A turn takes a bounded number for each receiver; the next one goes on."""
    site = sqlite_recorded
    grow(site, *(1,) * (GROUP + 5))
    forwarder = _forwarder(site, FolderAnchor("tape", tmp_path))
    assert [forwarder.turn(), forwarder.turn(), forwarder.turn()] == [GROUP, 5, 0]
