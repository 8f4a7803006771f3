"""Delivery to audit repositories: order, no loss, no doubles, over an outage of a day."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.audit_repository import build_repositories
from adapters.audit_repository.feeder import feed, progress
from adapters.audit_repository.fhir_feed import TAG
from adapters.audit_repository.repository import Repository
from adapters.audit_repository.syslog_tls import frame
from adapters.audit_views import dicom_message, fhir_event
from adapters.audit_views.message import Message, message_of
from adapters.compose import Site
from adapters.config import Configuration
from adapters.config_audit import AuditRepositorySection
from adapters.doctor import examine
from adapters.web.metrics import exposition, health
from audit.errors import AuthenticationError, ConfigurationError, UnavailableError
from audit.merkle import leaf_hash
from audit.record import encode
from tests.simulators.audit_records import record_of
from tests.simulators.fhir_server import FhirServer, Proxy, Seen
from tests.simulators.governed_site import Clock, governed_site, records
from tests.simulators.rsyslog import Authority, Rsyslog


@contextmanager
def _site(root: Path, **section: Any) -> Iterator[tuple[Site, Clock, Repository]]:
    with governed_site(root, audit_repositories=[{"name": "arr", **section}]) as (site, clock):
        yield site, clock, site.repositories[0]


def _syslog(server: Rsyslog, **changes: Any) -> dict[str, Any]:
    folder = server.authority.folder
    return {
        "kind": "syslog-tls", "host": "localhost", "port": server.port,
        "ca_file": str(folder / "ca.pem"), "cert_file": str(folder / "client.pem"),
        "key_file": str(folder / "client.key"), "batch": 40, "timeout_s": 5,
    } | changes  # fmt: skip


def _write(site: Site, clock: Clock, count: int) -> None:
    with site.database.transaction() as transaction:
        for number in range(count):
            kind = ("inference", "fault", "access", "delivery")[number % 4]
            site.log.append(transaction, record_of(kind, now=clock()))
    site.seal()


def _hashes(site: Site) -> list[str]:
    """Return the leaf hashes of the whole log, in order."""
    with site.database.reading() as transaction:
        leaves = transaction.leaves(0, transaction.tree_size())
        return [leaf_hash(leaf.leaf).hex() for leaf in leaves]


def _received(server: Rsyslog) -> list[str]:
    """Return the leaf hash that each received message carries."""
    messages = [line[line.index(b"<AuditMessage") :] for line in server.received()]
    return [dicom_message.decode(item).record.detail("osteon-leaf-sha256") for item in messages]


def _a_day(site: Site, clock: Clock, repository: Repository) -> int:
    """Let a day pass in steps of five minutes; something is recorded every hour."""
    sent = 0
    for step in range(288):
        clock.forward(minutes=5)
        if step % 12 == 0:
            _write(site, clock, 3)
        sent += feed(site, repository)
    return sent


@pytest.mark.server
@pytest.mark.reg("PS315-A5")
def test_a_day_without_the_syslog_server_loses_nothing(rsyslog: Rsyslog, tmp_path: Path) -> None:
    """A real server stays away for 24 h: every record arrives, in order, once."""
    with _site(tmp_path, **_syslog(rsyslog)) as (site, clock, repository):
        _write(site, clock, 50)
        assert feed(site, repository) == 50
        rsyslog.stop()
        assert _a_day(site, clock, repository) == 0
        (found,) = progress(site)
        assert found.behind > 72
        assert found.reason == "DOOR_UNAVAILABLE"
        rsyslog.start()
        clock.forward(minutes=15)
        while feed(site, repository):
            pass
        rsyslog.stop()
        assert progress(site)[0].behind == 0
        assert _received(rsyslog) == _hashes(site)
        faults = [item.body["where"] for item in records(site, "fault")]
        assert faults.count("audit-repository.arr") == 1


@pytest.mark.acceptance
@pytest.mark.server
def test_ten_thousand_records_wait_for_the_syslog_server(rsyslog: Rsyslog, tmp_path: Path) -> None:
    """The same at a size: what a busy site records in a day away from its repository."""
    with _site(tmp_path, **_syslog(rsyslog, batch=500)) as (site, clock, repository):
        rsyslog.stop()
        for _ in range(10):
            clock.forward(hours=2.4)
            _write(site, clock, 1000)
            assert feed(site, repository) == 0
        rsyslog.start()
        clock.forward(minutes=15)
        while feed(site, repository):
            pass
        rsyslog.stop()
        assert len(_hashes(site)) > 10_000
        assert _received(rsyslog) == _hashes(site)


@pytest.mark.server
@pytest.mark.reg("PS315-A5")
def test_a_day_without_the_fhir_server_loses_nothing(
    fhir: FhirServer, fhir_faults: Proxy, tmp_path: Path
) -> None:
    """The same of a FHIR repository of others; answers that were lost make no doubles."""
    with _site(tmp_path, kind="fhir", url=fhir_faults.url) as (site, clock, repository):
        _write(site, clock, 8)
        assert feed(site, repository) == 8
        fhir_faults.always(503)
        assert _a_day(site, clock, repository) == 0
        lost: list[Seen] = []
        kept_but_lost: list[int] = []

        def lose_some(seen: Seen) -> Any:
            """Pass on, but lose each fifth answer after the server has kept the record."""
            lost.append(seen)
            if len(lost) % 5 == 0:
                keys = ("content-type", "if-none-exist")
                headers = {key: seen.headers[key] for key in keys}
                done = httpx.post(fhir.url + seen.path, content=seen.body, headers=headers)
                kept_but_lost.append(done.status_code)
                return Proxy.reply(close=True)
            return None

        fhir_faults.order = lose_some
        for _ in range(200):
            clock.forward(minutes=15)
            feed(site, repository)
            if progress(site)[0].behind == 0:
                break
        assert kept_but_lost
        assert set(kept_but_lost) == {201}
        kept = fhir.all("AuditEvent")
        by_index = sorted(kept, key=lambda event: _index(event))
        assert [_hash(event) for event in by_index] == _hashes(site)
        order = sorted(kept, key=lambda event: event["meta"]["lastUpdated"])
        assert [_index(event) for event in order] == sorted(map(_index, kept))
        assert kept[0]["meta"]["tag"][0]["system"] == TAG


def _index(event: dict[str, Any]) -> int:
    return int(fhir_event.decode(event).record.detail("osteon-leaf-index"))


def _hash(event: dict[str, Any]) -> str:
    return fhir_event.decode(event).record.detail("osteon-leaf-sha256")


@pytest.mark.server
def test_a_kill_after_sending_makes_no_doubles(fhir: FhirServer, tmp_path: Path) -> None:
    """The process dies when the repository has the records and we have not noted it."""
    with _site(tmp_path, kind="fhir", url=fhir.url) as (site, clock, repository):
        _write(site, clock, 6)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("adapters.audit_repository.feeder._note", _die)
            with pytest.raises(KeyboardInterrupt):
                feed(site, repository)
        assert len(fhir.all("AuditEvent")) == 6
        assert feed(site, repository) == 0, "the lease of the dead process still stands"
        clock.forward(minutes=11)
        assert feed(site, repository) == 6
        assert progress(site)[0].behind == 0
        assert sorted(map(_hash, fhir.all("AuditEvent"))) == sorted(_hashes(site))


def _die(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.server
def test_the_fhir_feed_shows_its_certificate(fhir: FhirServer, tmp_path: Path) -> None:
    """Mutual TLS before a FHIR server: with our certificate records arrive, without none."""
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.issue("server", "localhost")
    ours = authority.issue("client", "osteon.test")
    with _tls_before(fhir.url, certificate, key, authority.certificate) as port:
        section = {"kind": "fhir", "url": f"https://localhost:{port}", "timeout_s": 5}
        section["ca_file"] = str(authority.certificate)
        shown = {"cert_file": str(ours[0]), "key_file": str(ours[1])}
        for name, extra, count in (("bare", {}, 0), ("shown", shown, 3)):
            (tmp_path / name).mkdir()
            with _site(tmp_path / name, **section, **extra) as (site, clock, repository):
                _write(site, clock, 3)
                assert feed(site, repository) == count
        assert len(fhir.all("AuditEvent")) == 3


@contextmanager
def _tls_before(url: str, certificate: Path, key: Path, authority: Path) -> Iterator[int]:
    """Terminate TLS with mutual authentication before a server; yield the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))
    upstream = ("127.0.0.1", int(url.rsplit(":", 1)[1]))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = listener.accept()
                with contextlib.suppress(OSError):
                    peer = context.wrap_socket(plain, server_side=True)
                    server = socket.create_connection(upstream)
                    for pair in ((peer, server), (server, peer)):
                        threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


@pytest.mark.server
def test_without_our_certificate_the_server_takes_nothing(rsyslog: Rsyslog, tmp_path: Path) -> None:
    """Mutual TLS: no certificate, or one of another authority, and nothing counts as sent."""
    stranger = Authority(tmp_path / "other")
    stranger.issue("client", "osteon.test")
    other = {
        "cert_file": str(stranger.folder / "client.pem"),
        "key_file": str(stranger.folder / "client.key"),
    }
    for changes in ({"cert_file": "", "key_file": ""}, other):
        root = tmp_path / str(len(changes["cert_file"]))
        root.mkdir()
        with _site(root, **_syslog(rsyslog, **changes)) as (site, clock, repository):
            _write(site, clock, 5)
            assert feed(site, repository) == 0
            assert progress(site)[0].failures == 1
    assert rsyslog.received() == []


@pytest.mark.server
def test_a_server_of_another_authority_gets_nothing(rsyslog: Rsyslog, tmp_path: Path) -> None:
    """Who is not the repository that was configured sees no record."""
    other = Authority(tmp_path / "other")
    section = _syslog(rsyslog, ca_file=str(other.certificate))
    with _site(tmp_path, **section) as (_, _, repository), pytest.raises(AuthenticationError):
        repository.transport.check()
    assert rsyslog.received() == []


@pytest.mark.server
def test_the_self_test_and_the_metrics_show_an_outage(rsyslog: Rsyslog, tmp_path: Path) -> None:
    """Doctor, health and metrics tell that a repository does not answer, and what waits."""
    with _site(tmp_path, **_syslog(rsyslog)) as (site, clock, repository):
        _write(site, clock, 5)
        (line,) = (item for item in examine(site) if item.name == "audit repository arr")
        assert line.ok
        assert "TLSv1" in line.detail
        rsyslog.stop()
        feed(site, repository)
        (line,) = (item for item in examine(site) if item.name == "audit repository arr")
        assert not line.ok
        assert b'"audit-repository"' in health(site).body
        text = bytes(exposition(site).body).decode()
        assert 'osteon_audit_repository_failures{repository="arr"} 1.0' in text
        assert re.search(r'behind_records\{repository="arr"\} [5-9]', text)
        rsyslog.start()
        clock.forward(minutes=15)
        feed(site, repository)
        assert b'"ok"' in health(site).body


class _Half:
    """A transport that takes a part of each batch and then fails."""

    def __init__(self) -> None:
        self.kept: list[Message] = []
        self.takes = 3

    def send(self, messages: Sequence[Message]) -> Iterator[int]:
        """Keep some."""
        for number, message in enumerate(messages, 1):
            if number > self.takes:
                raise UnavailableError("expected the repository to answer, found it away")
            self.kept.append(message)
            yield number

    def check(self) -> str:
        """Nothing to say."""
        return "half"

    def close(self) -> None:
        """Nothing is open."""


def test_a_batch_that_is_cut_goes_on_where_it_ended(tmp_path: Path) -> None:
    """What is certain is not sent again, what is not is; a purged record has no message."""
    section = {"kind": "fhir", "url": "http://127.0.0.1:1", "batch": 10}
    with _site(tmp_path, **section) as (site, clock, configured):
        half = _Half()
        repository = Repository(configured.section, half)
        site = replace(site, repositories=(repository,))
        _write(site, clock, 20)
        for _ in range(12):
            feed(site, repository)
            assert feed(site, repository) == 0, "it waits"
            clock.forward(minutes=15)
        half.takes = 100
        feed(site, repository)
        assert [item.record.detail("osteon-leaf-sha256") for item in half.kept] == _hashes(site)


def test_two_processes_do_not_send_at_once(tmp_path: Path) -> None:
    """While one sends, another leaves the repository alone; a dead one is waited for."""
    section = {"kind": "fhir", "url": "http://127.0.0.1:1"}
    with _site(tmp_path, **section) as (site, clock, configured):
        _write(site, clock, 4)
        seen: list[int] = []

        class Nested(_Half):
            """Lets the other process try in the middle."""

            def send(self, messages: Sequence[Message]) -> Iterator[int]:
                """Send while another tries."""
                seen.append(feed(site, Repository(configured.section, _Half())))
                yield len(messages)

        assert feed(site, Repository(configured.section, Nested())) == 4
        assert seen == [0]


def test_from_now_on_means_from_now_on(tmp_path: Path) -> None:
    """A new repository may ask for what comes, not for what there is."""
    section = {"kind": "fhir", "url": "http://127.0.0.1:1", "first": "now"}
    with _site(tmp_path, **section) as (site, clock, configured):
        half = _Half()
        half.takes = 100
        repository = Repository(configured.section, half)
        _write(site, clock, 4)
        assert feed(site, repository) == 0
        _write(site, clock, 2)
        assert feed(site, repository) == 2


def test_a_frame_is_that_of_the_rfcs() -> None:
    """MSG-LEN counts the octets of the message; header and BOM are those of RFC 5424."""
    record = record_of("inference")
    message = message_of(encode(record), 3, 10)
    length, _, rest = frame(message).partition(b" ")
    assert int(length) == len(rest)
    head, _, content = rest.partition(b"\xef\xbb\xbf")
    assert re.fullmatch(rb"<85>1 \d{4}-\d\d-\d\dT[\d:.]+Z node-a osteon - DICOM\+RFC3881 - ", head)
    assert dicom_message.decode(content) == message


@pytest.mark.parametrize(
    "section",
    [
        {"kind": "syslog-tls", "host": "a"},
        {"kind": "syslog-tls", "host": "a", "ca_file": "c", "cert_file": "x"},
        {"kind": "fhir"},
        {"kind": "fhir", "url": "http://repository.example.org"},
        {"kind": "udp", "host": "a"},
        {"kind": "fhir", "url": "https://a.example", "name": "not a name"},
    ],
)
def test_a_repository_that_is_not_whole_is_refused(section: dict[str, Any]) -> None:
    """No authority, half a client certificate, no TLS, an unknown transport: named at the start."""
    with pytest.raises(ValueError):
        Configuration.model_validate({"audit_repositories": [{"name": "arr", **section}]})


def test_a_missing_certificate_file_is_named(tmp_path: Path) -> None:
    """A path that is wrong ends in one clear error, and nothing is sent."""
    section = AuditRepositorySection(
        name="arr", kind="fhir", url="https://127.0.0.1:9", ca_file=str(tmp_path / "none.pem")
    )
    (repository,) = build_repositories([section])
    with pytest.raises(ConfigurationError, match="certificate"):
        repository.transport.check()


@pytest.mark.parametrize(("reads", "counts"), [(0, False), (1000, False), (None, True)])
def test_only_what_was_read_to_its_end_counts(
    tmp_path: Path, reads: int | None, counts: bool
) -> None:
    """A receiver that says goodbye before it has read everything has confirmed nothing."""
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.issue("server", "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        plain, _ = listener.accept()
        with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as peer:
            if reads is None:
                while peer.recv(65536):
                    pass
            elif reads:
                peer.recv(reads)
            peer.unwrap()

    server = threading.Thread(target=serve)
    server.start()
    section = {
        "kind": "syslog-tls", "host": "localhost", "port": listener.getsockname()[1],
        "ca_file": str(authority.certificate), "timeout_s": 5,
    }  # fmt: skip
    with _site(tmp_path, **section) as (site, clock, repository):
        _write(site, clock, 40)
        assert feed(site, repository) == (40 if counts else 0)
        assert (progress(site)[0].failures == 0) is counts
    server.join()
    listener.close()
