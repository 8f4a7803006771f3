"""One table: whatever was changed, exchanged, revoked, outlived or signed twice is refused.

Each row does one thing to a release that was good, and names where it is refused and by
which code.  Nothing of it changes the state of the release, and each code comes with advice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.compose import Site
from adapters.governance.approving import approve
from adapters.governance.certifying import certify, set_certificate_state
from adapters.governance.promoting import activate
from adapters.governance.rolling_back import Wish, rollback
from adapters.published import sign_bundle
from audit.errors import RefusalError, SuiteError
from governance.release import (
    ATTACHMENTS,
    MANIFEST,
    attach,
    folder_name,
    open_release,
    pack_zip,
    unpack_zip,
)
from governance.signing import FOLDER, load_trust, sign, store_trust
from plugins.host.artifact import load_release_folder
from tests.simulators.governed_site import (
    ANSWER,
    APPROVER,
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

Place = tuple[Site, Clock]
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A research site with a movable clock."""
    with governed_site(tmp_path) as opened:
        yield opened


def signed_file(site: Site, version: str = "1.0.0") -> Path:
    """Return a good, signed release file that was not added yet."""
    path = site.home.root / f"trial-{version}.osteon"
    path.write_bytes(bundle(ANSWER, version=version, members={"criteria.json": b"{}"}))
    return sign_bundle(site.keys, path, site.now())


def flip(path: Path, name: str) -> None:
    """Flip one bit of one entry in a packed release, leaving a well-formed container."""
    content = unpack_zip(path.read_bytes(), "test")
    raw = bytearray(content[name])
    raw[len(raw) // 2] ^= 1
    path.write_bytes(pack_zip(content | {name: bytes(raw)}))


def replace_signature(site: Site, path: Path, signature: bytes) -> None:
    """Put another signature in the place of the site's."""
    attach(path, f"{FOLDER}{site.keys.release_key_id}.json", signature)


def change_trust(site: Site, purpose: str, **changes: Any) -> None:
    """Change every trusted key of a purpose; without changes, distrust it."""
    path = site.home.keys / "trust.json"
    keys = [
        replace(key, **changes) if key.purpose == purpose else key
        for key in load_trust(path)
        if changes or key.purpose != purpose
    ]
    store_trust(path, tuple(keys))


MEMBERS = tuple(unpack_zip(bundle(ANSWER, members={"criteria.json": b"{}"}), "test"))


@pytest.mark.reg("AIA-15.5")
@pytest.mark.parametrize("name", MEMBERS)
def test_a_flipped_bit_in_any_member_is_refused_at_every_door(place: Place, name: str) -> None:
    """At registration, at activation and before the load: refused, with the member named."""
    site, _ = place
    path = signed_file(site, "2.0.0")
    flip(path, name)
    with pytest.raises(SuiteError) as caught:
        site.registry.add(path)
    assert caught.value.code in ("RELEASE_TAMPERED", "RELEASE_SIGNATURE")
    assert name in str(caught.value) or name == MANIFEST
    assert caught.value.advice
    digest = approved(site, add_release(site, "1.0.0", members={"criteria.json": b"{}"}))
    folder = site.home.releases / folder_name(digest)
    member = folder / name
    member.chmod(0o644)
    raw = bytearray(member.read_bytes())
    raw[len(raw) // 2] ^= 1
    member.write_bytes(bytes(raw))
    for do in (
        lambda: activate(site, digest, APPROVER, "now"),
        lambda: load_release_folder(folder),
    ):
        with pytest.raises(SuiteError, match=member.name.replace(".", r"\.")) as refused:
            do()
        assert refused.value.code == "RELEASE_TAMPERED"
    assert state_of(site, digest) == "approved"
    assert records(site, "guard")[-1].body["tripped"] == ["RELEASE_TAMPERED"]


def _add_with(change: Callable[[Site, Path], None]) -> Callable[[Place], None]:
    def do(place: Place) -> None:
        path = signed_file(place[0])
        change(place[0], path)
        place[0].registry.add(path)

    return do


def _swap(site: Site, path: Path) -> None:
    other = open_release(signed_file(site, "9.0.0"))
    (name,) = (n for n in other.attachments if n.startswith(FOLDER))
    replace_signature(site, path, other.attachment(name))


def _flip_signature(site: Site, path: Path) -> None:
    flip(path, f"{ATTACHMENTS}{FOLDER}{site.keys.release_key_id}.json")


def _sign_by_stranger(site: Site, path: Path) -> None:
    digest = open_release(path).digest
    key_id = site.keys.release_key_id
    replace_signature(site, path, sign(digest, OTHER_KEY, key_id, "release", site.now()))


def _certify_with(**changes: Any) -> Callable[[Place], None]:
    def do(place: Place) -> None:
        site, _ = place
        digest = add_release(site, "1.0.0")
        made = {
            key: value(site) if callable(value) else value for key, value in changes.items()
        }  # fmt: skip
        certify(site, digest, PHYSICIST, certificate(site, digest, **made))

    return do


def _certified(place: Place) -> str:
    site, _ = place
    return approved(site, add_release(site, "1.0.0"))


def _activate_after(change: Callable[[Place, str], None]) -> Callable[[Place], None]:
    def do(place: Place) -> None:
        digest = _certified(place)
        change(place, digest)
        activate(place[0], digest, APPROVER, "now")

    return do


def _suspend_certificate(place: Place, digest: str) -> None:
    name = f"cert-{digest[7:15]}"
    set_certificate_state(place[0], name, "suspended", PHYSICIST, "doubt")


def _flip_certificate(place: Place, digest: str) -> None:
    site = place[0]
    raw = bytearray(site.registry.attachment(digest, "certificate.json") or b"")
    at = raw.index(b"held-out")
    raw[at : at + 8] = b"cross-fi"
    site.registry.attach(digest, "certificate.json", bytes(raw))


def _exchange_certificate(place: Place, digest: str) -> None:
    site = place[0]
    stated = certificate(site, digest).replace(b'"verdict":"pass"', b'"verdict":"fail"')
    site.registry.attach(digest, "certificate.json", stated)


def _approve_twice(place: Place) -> None:
    site, _ = place
    digest = add_release(site, "1.0.0")
    certify(site, digest, PHYSICIST, certificate(site, digest))
    approve(site, digest, APPROVER)
    approve(site, digest, APPROVER, "review")


def _approve_own(place: Place) -> None:
    site, _ = place
    digest = add_release(site, "1.0.0", person="approver")
    certify(site, digest, PHYSICIST, certificate(site, digest))
    approve(site, digest, APPROVER)


def _back_to_changed(place: Place) -> None:
    site, _ = place
    one = _certified(place)
    activate(site, one, APPROVER, "first")
    rollback(site, "trial", PHYSICIST, Wish("odd"))


TABLE: tuple[tuple[str, Callable[[Place], None], str], ...] = (
    ("signature of another release", _add_with(_swap), "RELEASE_SIGNATURE"),
    ("one bit of the signature", _add_with(_flip_signature), "RELEASE_SIGNATURE"),
    ("signature by another key under our name", _add_with(_sign_by_stranger), "RELEASE_SIGNATURE"),
    (
        "release key that is not trusted",
        _add_with(lambda site, _: change_trust(site, "release")),
        "RELEASE_KEY_UNTRUSTED",
    ),
    (
        "release key that was revoked",
        _add_with(lambda site, _: change_trust(site, "release", revoked_at=site.now())),
        "RELEASE_KEY_REVOKED",
    ),
    (
        "release key that was revoked after registration",
        _activate_after(
            lambda at, _: change_trust(at[0], "release", revoked_at=at[0].now())
        ),
        "RELEASE_KEY_REVOKED",
    ),
    (
        "certificate of another release",
        _certify_with(release_digest="sha256:" + "0" * 64),
        "CERTIFICATE_OTHER_RELEASE",
    ),
    (
        "criteria recorded after the run",
        _certify_with(criteria_recorded_at=lambda site: site.now() - timedelta(hours=1)),
        "CERTIFICATE_CRITERIA_LATE",
    ),
    (
        "certificate that had expired when it came",
        _certify_with(expires_at=lambda site: site.now() - timedelta(seconds=1)),
        "CERTIFICATE_EXPIRED",
    ),
    ("certificate that failed", _certify_with(verdict="fail"), "CERTIFICATE_FAILED"),
    (
        "certificate with too little evidence",
        _certify_with(verdict="insufficient"),
        "CERTIFICATE_INSUFFICIENT",
    ),
    (
        "certificate from the future",
        _certify_with(issued_at=lambda site: site.now() + timedelta(days=1)),
        "CERTIFICATE_NOT_YET_VALID",
    ),
    (
        "certificate that expired since",
        _activate_after(lambda at, _: at[1].forward(days=366)),
        "CERTIFICATE_EXPIRED",
    ),
    ("certificate that was suspended", _activate_after(_suspend_certificate),
     "CERTIFICATE_SUSPENDED"),
    ("certificate with another method", _activate_after(_flip_certificate),
     "CERTIFICATE_MALFORMED"),
    ("certificate with another verdict", _activate_after(_exchange_certificate),
     "CERTIFICATE_SIGNATURE"),
    (
        "certificate key that was revoked",
        _activate_after(
            lambda at, _: change_trust(at[0], "certificate", revoked_at=at[0].now())
        ),
        "CERTIFICATE_KEY_REVOKED",
    ),
    (
        "certificate key that is not trusted",
        _activate_after(lambda at, _: change_trust(at[0], "certificate")),
        "CERTIFICATE_KEY_UNTRUSTED",
    ),
    ("the same person twice", _approve_twice, "SAME_PERSON"),
    ("the builder approves", _approve_own, "BUILDER_MAY_NOT_DECIDE"),
    ("rollback without anything on standby", _back_to_changed, "NOTHING_ON_STANDBY"),
)  # fmt: skip


@pytest.mark.reg("AIA-15.5")
@pytest.mark.parametrize(("what", "do", "code"), TABLE, ids=[row[0] for row in TABLE])
def test_what_was_tampered_with_is_refused_by_its_own_code(
    place: Place, what: str, do: Callable[[Place], None], code: str
) -> None:
    """Refused with the code of the row and advice; no release is in use afterwards."""
    site, _ = place
    with pytest.raises(SuiteError) as caught:
        do(place)
    error = caught.value
    codes = error.reasons if isinstance(error, RefusalError) else (error.code,)
    assert code in codes, codes
    assert set(codes) <= {code, "CERTIFICATE_FAILED", "CERTIFICATE_NOT_YET_VALID"}
    assert len(error.advice) > 10
    with site.database.reading() as transaction:
        in_use = [d for d in transaction.deployments() if d.state in ("active", "canary")]
    assert in_use == [] or what.startswith("rollback")


def test_every_kind_of_tampering_has_its_own_code_and_advice() -> None:
    """The rows of the issue are all here, and no two different faults share a code."""
    codes = {code for _, _, code in TABLE}
    assert len(codes) >= 15
    from governance.certificate import ADVICE

    named = [code for code in codes if code.startswith("CERTIFICATE")]
    assert all(ADVICE[code] for code in named)
    assert len({ADVICE[code] for code in named}) == len(named)
