"""Keys at a site: rotated, revoked and protected, each on record; what is here stays good."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters import key_files
from adapters.compose import Site, open_site
from adapters.configuration_watch import note_trust
from adapters.evidence import reports
from adapters.governance.acts import act, waive
from adapters.governance.persons import Somebody
from adapters.key_changes import (
    confirm,
    find_key,
    given_key,
    own_key_id,
    propose_exception,
    propose_rotation,
    propose_trust,
    protect,
    revoke,
)
from adapters.key_files import KeyPasswordError, encrypted_text, read_key_file
from adapters.key_passwords import KeyLockedError, new_key_password
from adapters.keys import KeyNotInForceError, key_path, load_keys
from adapters.log_key import handovers, log_keys, settle_log_key, write_next_log_key
from adapters.published import sign_bundle
from adapters.web.audit import record_page
from audit.bundle import verify_bundle
from audit.errors import ConfigurationError, KeyRevokedError, RefusalError, SignatureError
from governance.release import attach, open_release
from governance.sealed import open_sealed, seal
from governance.signature_gate import SignatureGate
from governance.signing import KeyRetiredError, sign
from plugins.host.ports import RunRequest
from tests.simulators.governed_site import (
    ADMINISTRATOR,
    ANSWER,
    APPROVER,
    CLINICIAN,
    COMPLIANCE,
    ENGINEER,
    PHYSICIST,
    Clock,
    add_release,
    approved,
    certificate,
    governed_site,
    records,
    state_of,
)
from tests.simulators.released_plugins import bundle

REASON = {"reason": "commissioned"}
Place = tuple[Site, Clock]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A site in research mode and its clock."""
    with governed_site(tmp_path) as opened:
        yield opened


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the stretching of passwords cheap; its cost is tested by itself."""
    monkeypatch.setattr(key_files, "COST", 2**10)
    for name in ("OSTEON_KEY_PASSWORD", "OSTEON_NEW_KEY_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


def rotated(site: Site, purpose: str) -> str:
    """Rotate a key by two persons; return the id of the one that went."""
    made = propose_rotation(site, purpose, "yearly", ADMINISTRATOR)
    confirm(site, made.act_id, APPROVER)
    return made.key_id


def request(digest: str) -> RunRequest:
    """Return a run of a release as the feed asks for it."""
    return RunRequest(
        "r", "1.2.3", "trial", "1.0.0", digest, "research", {}, (), datetime.now(UTC)
    )  # fmt: skip


def barred(site: Site, digest: str) -> tuple[str, ...]:
    """Return why a run of a release may not go on."""
    return tuple(item.code for item in site.registry.standing(request(digest)).barred)


def signed_by(site: Site, version: str, secret: Ed25519PrivateKey, key_id: str) -> Path:
    """Return a bundle with a signature of somebody."""
    path = site.home.root / f"other-{version}.osteon"
    path.write_bytes(bundle(ANSWER, version=version))
    release = open_release(path)
    attach(
        path, f"signatures/{key_id}.json",
        sign(release.digest, secret, key_id, "release", site.now() - timedelta(days=1)),
    )  # fmt: skip
    return path


def secret_of(site: Site, purpose: str) -> Ed25519PrivateKey:
    """Return the secret of a key of the site, as a thief of the file has it."""
    text = key_path(site.home, purpose).read_text().strip()
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))


def test_rotation_leaves_what_is_here_and_refuses_what_comes_with_the_old_key(
    place: Place,
) -> None:
    """Active releases, certificates and documents stay good; the old key opens nothing more."""
    site, clock = place
    clock.forward(days=30)
    digest = approved(site, add_release(site, "1.0.0"))
    act(site, "activate", digest, APPROVER, REASON)
    sealed = seal({"what": "a document"}, site.keys.sealer, site.now())
    with site.database.transaction() as transaction:
        transaction.put_governed("paper", "one", sealed, "anna", site.now())
    stolen = secret_of(site, "release")
    clock.forward(days=1)
    old = {purpose: rotated(site, purpose) for purpose in ("release", "certificate", "report")}
    # 1. What is here counts on.
    assert barred(site, digest) == ()
    assert site.registry.verify(digest) == old["release"]
    open_sealed(sealed, site.registry.trust())
    assert find_key(site, old["release"]).state(site.now()) == "rotated out"
    # 2. The old key signs no more, in this process or by a thief, whatever date it writes.
    with pytest.raises(KeyNotInForceError):
        site.keys.release.sign(b"more")
    with pytest.raises(KeyRetiredError) as caught:
        site.registry.add(signed_by(site, "9.0.0", stolen, old["release"]))
    assert caught.value.code == "RELEASE_KEY_RETIRED"
    # 3. The new key does, from the next start on.
    fresh = load_keys(site.home, site.now())
    assert fresh.release_key_id == own_key_id(site, "release") != old["release"]
    path = site.home.root / "new.osteon"
    path.write_bytes(bundle(ANSWER, version="2.0.0"))
    assert site.registry.add(sign_bundle(fresh, path, site.now())).digest
    # 4. A document that was sealed with the old key afterwards does not count.
    late = dict(sealed, what="another")
    with pytest.raises(SignatureError):
        open_sealed(late, site.registry.trust())


@pytest.mark.reg("AIA-15.5")
def test_a_revoked_key_refuses_at_registration_activation_and_load(place: Place) -> None:
    """At each of the three doors, by its own code and with advice."""
    site, _ = place
    digest = approved(site, add_release(site, "1.0.0"))
    act(site, "activate", digest, APPROVER, REASON)
    waiting = add_release(site, "1.1.0")
    path = site.home.root / "later.osteon"
    path.write_bytes(bundle(ANSWER, version="1.2.0"))
    sign_bundle(site.keys, path, site.now())
    gone = revoke(site, site.keys.release_key_id, "laptop lost", APPROVER)
    assert gone.state(site.now()) == "revoked"
    with pytest.raises(KeyRevokedError) as caught:
        site.registry.add(path)
    assert (caught.value.code, bool(caught.value.advice)) == ("RELEASE_KEY_REVOKED", True)
    with pytest.raises(KeyRevokedError):  # read byte by byte and verified at every activation
        waive(site, waiting, APPROVER, "because", timedelta(days=1))
    (gate,) = [item for item in site.gates if isinstance(item, SignatureGate)]
    assert [item.code for item in gate.objections(waiting)] == ["RELEASE_KEY_REVOKED"]
    assert state_of(site, waiting) == "registered"
    assert barred(site, digest) == ("RELEASE_KEY_REVOKED",)
    with pytest.raises(KeyRevokedError):
        site.registry.verify(digest)
    assert act(site, "suspend", digest, CLINICIAN, REASON).state == "suspended"  # never refused


def test_what_came_before_the_compromise_counts_again(place: Place) -> None:
    """Two persons let releases count that were registered before the stated moment, and no other.

    The thief's release bears a date from before; that it came here afterwards is what counts.
    """
    site, clock = place
    clock.forward(days=30)
    early = add_release(site, "1.0.0")
    clock.forward(days=1)
    moment = site.now()
    clock.forward(days=1)
    forged = site.registry.add(
        signed_by(site, "1.5.0", secret_of(site, "release"), site.keys.release_key_id)
    ).digest
    key_id = site.keys.release_key_id
    revoke(site, key_id, "laptop lost", ADMINISTRATOR)
    assert site.registry.signature_objections(early)
    made = propose_exception(site, key_id, moment, "stolen on Monday", ADMINISTRATOR)
    assert site.registry.signature_objections(early)  # one person alone changes nothing
    confirm(site, made.act_id, APPROVER)
    assert site.registry.signature_objections(early) == ()
    assert site.registry.signature_objections(forged)[0].code == "RELEASE_KEY_REVOKED"
    with pytest.raises(RefusalError):
        revoke(site, key_id, "again", APPROVER)


@pytest.mark.parametrize("person", [CLINICIAN, PHYSICIST, ENGINEER, COMPLIANCE])
def test_nobody_else_touches_a_key(place: Place, person: Somebody) -> None:
    """Every act is refused to the other roles, changes nothing, and stands on record."""
    site, _ = place
    before = (site.home.keys / "trust.json").read_bytes()
    other = given_key("publisher", "release", base64.b64encode(b"\7" * 32).decode(), site.now(),
                      None)  # fmt: skip
    made = propose_rotation(site, "release", "yearly", ADMINISTRATOR)
    revoked = site.keys.certificate_key_id
    for attempt in (
        lambda: propose_rotation(site, "release", "x", person),
        lambda: propose_trust(site, other, "x", person),
        lambda: revoke(site, revoked, "x", person),
        lambda: protect(site, "release", lambda: b"long enough word", person),
        lambda: confirm(site, made.act_id, person),
    ):
        with pytest.raises(RefusalError) as caught:
            attempt()
        assert caught.value.reasons == ("ROLE_NOT_PERMITTED",)
    assert (site.home.keys / "trust.json").read_bytes() == before
    found = [r for r in records(site, "key") if r.actor.id == person.account_id]
    assert {r.body["action"] for r in found} == {
        "refused-rotate", "refused-trust", "refused-revoke", "refused-protect", "refused-confirm",
    }  # fmt: skip
    assert {r.outcome.code for r in found} == {4}


def test_the_administrator_alone_changes_no_key(place: Place) -> None:
    """Four eyes: whoever proposes does not confirm; twice is refused."""
    site, _ = place
    made = propose_rotation(site, "release", "yearly", ADMINISTRATOR)
    with pytest.raises(RefusalError):
        confirm(site, made.act_id, ADMINISTRATOR)
    with pytest.raises(RefusalError) as caught:
        confirm(site, made.act_id, Somebody("administrator", "approver"))
    assert caught.value.reasons == ("FOUR_EYES",)
    confirm(site, made.act_id, APPROVER)
    with pytest.raises(RefusalError) as caught:
        confirm(site, made.act_id, APPROVER)
    assert caught.value.reasons == ("KEY_ACT_DONE",)
    done = [r.body["action"] for r in records(site, "key")]
    assert done == ["propose-rotate", "refused-confirm", "refused-confirm", "rotate",
                    "refused-confirm"]  # fmt: skip
    assert note_trust(site, "service:osteon") == ()  # what was done so is no surprise later


def test_a_publisher_is_trusted_by_two(place: Place) -> None:
    """Another's releases come in once an administrator and an approver trust the key."""
    site, _ = place
    secret = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = base64.b64encode(secret.public_key().public_bytes_raw()).decode()
    path = signed_by(site, "3.0.0", secret, "publisher")
    with pytest.raises(SignatureError, match="not trusted"):
        site.registry.add(path)
    begins = site.now() - timedelta(days=9)
    key = given_key("publisher", "release", public, begins, site.now() + timedelta(days=99))
    made = propose_trust(site, key, "contract 7", ADMINISTRATOR)
    confirm(site, made.act_id, APPROVER)
    assert site.registry.add(path).digest
    with pytest.raises(RefusalError) as caught:
        propose_trust(site, key, "again", ADMINISTRATOR)
    assert caught.value.reasons == ("KEY_KNOWN",)
    for bad in (("a b", public), ("publisher2", "AAAA"), ("", public)):
        with pytest.raises(ConfigurationError):
            given_key(bad[0], "release", bad[1], begins, None)


def test_own_releases_of_an_older_key_are_not_a_publishers(place: Place) -> None:
    """After a rotation this site vouches for nobody else either (AI Act Art. 25)."""
    from adapters.change.origins import Sources, _is_publishers

    site, _ = place
    digest = add_release(site, "1.0.0")
    rotated(site, "release")
    release = open_release(Path(site.registry.row(digest).path))
    sources = Sources(site.registry.trust(), ())
    assert not _is_publishers(release, "trial", sources)


@pytest.mark.reg("TLOG-1")
def test_the_log_goes_on_under_another_key(place: Place, tmp_path: Path) -> None:
    """Old checkpoints stay verifiable from the old key and the new, here and in a bundle."""
    site, clock = place
    add_release(site, "1.0.0")
    site.seal(force=True)
    before = site.keys.log.verifier
    for round_number in (1, 2):
        clock.forward(minutes=5)
        rotated(site, "log")
        site.seal(force=True)
        assert site.keys.log.verifier != before
        assert site.verify_log().tree_size > 0
        with site.database.reading() as transaction:
            assert len(handovers(transaction)) == round_number
    site.export_log(tmp_path / "log.zip")
    for key in (before, site.keys.log.verifier):
        assert verify_bundle(tmp_path / "log.zip", key).tree_size > 0
    with site.database.reading() as transaction:  # the pages and packs read it through as well
        assert log_keys(site.keys, transaction).newest == site.keys.log.verifier
        oldest = record_page(site, 0)
        assert (oldest.is_included, reports._verification(site, transaction)["verified"]) == (
            True, True,
        )  # fmt: skip
    with pytest.raises(RefusalError) as caught:
        revoke(site, own_key_id(site, "log"), "x", APPROVER)
    assert caught.value.reasons == ("KEY_OF_LOG",)


def test_a_crash_between_handover_and_file_is_finished_at_the_next_start(place: Place) -> None:
    """The handover is committed: the new key takes its place. It is not: it is dropped."""
    from adapters import key_changes

    site, _ = place
    before = site.keys.log.verifier
    write_next_log_key(site.home, "")
    settle_log_key(site.home, site.database)
    assert not key_path(site.home, "log.next").exists()
    assert site.keys.log.verifier == before

    made = propose_rotation(site, "log", "yearly", ADMINISTRATOR)
    real = key_changes.finish_log_key
    try:
        key_changes.finish_log_key = lambda *_: (_ for _ in ()).throw(OSError("power"))  # type: ignore[assignment]
        with pytest.raises(OSError, match="power"):
            confirm(site, made.act_id, APPROVER)
    finally:
        key_changes.finish_log_key = real  # type: ignore[assignment]
    assert key_path(site.home, "log.next").exists()
    with open_site(site.home, configuration=site.configuration, now=site.now) as again:
        assert again.keys.log.verifier != before
        again.seal(force=True)
        assert again.verify_log().tree_size > 0


def test_a_key_under_a_password_signs_only_with_it(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Environment or file give it; without, the site opens and the signature is refused."""
    site, _ = place
    digest = add_release(site, "1.0.0")
    monkeypatch.setenv("OSTEON_NEW_KEY_PASSWORD", "correct horse battery")
    for purpose in ("release", "log"):
        assert protect(site, purpose, new_key_password, ADMINISTRATOR) == "encrypted"
        path = key_path(site.home, purpose)
        assert path.stat().st_mode & 0o777 == 0o600
        assert read_key_file(path).form == "encrypted"
    with open_site(site.home, configuration=site.configuration, now=site.now) as again:
        assert again.registry.verify(digest) == site.keys.release_key_id
        with pytest.raises(KeyLockedError) as caught:
            again.keys.release.sign(b"x")
        assert caught.value.code == "KEY_LOCKED"
        monkeypatch.setenv("OSTEON_KEY_PASSWORD", "wrong")
        with pytest.raises(KeyPasswordError):
            again.keys.release.sign(b"x")
        secret_file = tmp_path / "password"
        secret_file.write_text("correct horse battery\n")
        secret_file.chmod(0o644)
        monkeypatch.setenv("OSTEON_KEY_PASSWORD_FILE", str(secret_file))
        with pytest.raises(ConfigurationError, match="0600"):
            again.keys.release.sign(b"x")
        secret_file.chmod(0o600)
        assert len(again.keys.release.sign(b"x")) == 64
        again.seal(force=True)
        assert again.verify_log().tree_size > 0
        # A rotation keeps the form; the password can be taken off.
        rotated(again, "release")
        assert read_key_file(key_path(site.home, "release")).form == "encrypted"
        assert protect(again, "log", None, ADMINISTRATOR) == "plain"
        assert protect(again, "release", None, ADMINISTRATOR) == "plain"
        again.seal(force=True)
        assert again.verify_log().tree_size > 0
    done = [r.body["action"] for r in records(site, "key")]
    assert done.count("protect") == 4


def test_a_short_password_and_a_changed_file_are_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve characters at least; a file with another public key opens nothing."""
    site, _ = place
    monkeypatch.setenv("OSTEON_NEW_KEY_PASSWORD", "short")
    with pytest.raises(ConfigurationError, match="12"):
        protect(site, "release", new_key_password, ADMINISTRATOR)
    path = key_path(site.home, "release")
    text = encrypted_text(bytes(range(32)), b"correct horse battery")
    document = json.loads(text) | {"public": read_key_file(path).public.hex()}
    key_files.replace_secret(path, json.dumps(document))
    monkeypatch.setenv("OSTEON_KEY_PASSWORD", "correct horse battery")
    with pytest.raises(KeyPasswordError):
        load_keys(site.home, site.now()).release.sign(b"x")


@pytest.mark.parametrize(
    "text",
    ["", "zz", "00" * 31, "{", "{}", '{"schema": "osteon.key/1"}',
     '{"schema": "osteon.key/1", "public": "00"}', '{"schema": "other", "public": 3}'],
)  # fmt: skip
def test_a_malformed_key_file_is_refused(tmp_path: Path, text: str) -> None:
    """Nothing half-read signs."""
    path = tmp_path / "release.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError):
        read_key_file(path)


def test_certificates_survive_the_rotation_of_their_key(place: Place) -> None:
    """A certificate that is on record counts; the same key issues no other."""
    from governance.certificate import objections

    site, _ = place
    digest = add_release(site, "1.0.0")
    approved(site, digest)
    raw = site.registry.attachment(digest, "certificate.json")
    other = certificate(site, digest, certificate_id="late")
    rotated(site, "certificate")
    assert objections(raw, digest, site.registry.trust(), site.now()) == ()
    (found,) = objections(other, digest, site.registry.trust(), site.now())
    assert found.code == "CERTIFICATE_KEY_RETIRED"
    revoke(site, site.keys.certificate_key_id, "lost", APPROVER)
    (found,) = objections(raw, digest, site.registry.trust(), site.now())
    assert found.code == "CERTIFICATE_KEY_REVOKED"
