"""A release is one immutable bundle: reproducible, named by its digest, tamper-evident."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import NotFoundError, ReleaseError, ReleaseTamperedError
from governance.release import (
    MANIFEST,
    SCHEMA,
    Release,
    attach,
    build,
    digest_of,
    folder_name,
    open_release,
    pack_zip,
    unpack,
    verify_unpacked,
)

DECLARATION = {"plugin": "knee", "version": "1.2.3", "limits": {"wall_time_s": 1.5}}
MEMBERS = {
    "code/plugins/knee/plugin.py": b"x = 1\n",
    "card.md": b"# Knee",
    "weights/w.bin": b"\0\1",
}
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,8}(/[A-Za-z0-9_]{1,8}){0,2}", fullmatch=True)


def _open(raw: bytes, folder: Path) -> Release:
    path = folder / "knee.osteon"
    path.write_bytes(raw)
    return open_release(path)


def test_digest_is_the_hash_of_the_manifest(tmp_path: Path) -> None:
    """The digest names the canonical manifest, which names schema and every member."""
    raw = build(DECLARATION, MEMBERS)
    release = _open(raw, tmp_path)
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        manifest = archive.read(MANIFEST)
        entries = archive.infolist()
    assert release.digest == digest_of(manifest)
    assert json.loads(manifest)["schema"] == SCHEMA
    assert release.manifest["members"] == {n: digest_of(c) for n, c in MEMBERS.items()}
    assert release.members == tuple(sorted(MEMBERS))
    assert release.file_name == "knee-1.2.3.osteon"
    assert [e.filename for e in entries] == sorted(e.filename for e in entries)
    assert {e.compress_type for e in entries} == {zipfile.ZIP_STORED}
    assert {e.date_time for e in entries} == {(1980, 1, 1, 0, 0, 0)}


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=64), max_size=6))
def test_build_and_open_are_inverses(
    tmp_path_factory: pytest.TempPathFactory, members: dict[str, bytes]
) -> None:
    """Whatever members go in come out, and the same input gives the same bytes."""
    members.pop(MANIFEST, None)
    members = {n: c for n, c in members.items() if not n.startswith("attachments")}
    raw = build(DECLARATION, members)
    assert raw == build(dict(reversed(DECLARATION.items())), dict(reversed(members.items())))
    release = _open(raw, tmp_path_factory.mktemp("release"))
    assert {name: release.member(name) for name in release.members} == members


def test_every_flipped_byte_of_the_file_is_refused(tmp_path: Path) -> None:
    """One flipped bit anywhere in the file, container included, is found when it is opened."""
    raw = build(DECLARATION, MEMBERS)
    digest = _open(raw, tmp_path).digest
    path = tmp_path / "knee.osteon"
    for position in range(len(raw)):
        path.write_bytes(raw[:position] + bytes([raw[position] ^ 0x10]) + raw[position + 1 :])
        with pytest.raises((ReleaseTamperedError, ReleaseError)):
            open_release(path, digest).verify()


def test_flipped_member_is_named(tmp_path: Path) -> None:
    """The message names the member whose bytes differ."""
    raw = build(DECLARATION, MEMBERS)
    position = raw.index(b"# Knee")
    path = tmp_path / "knee.osteon"
    path.write_bytes(raw[:position] + b"%" + raw[position + 1 :])
    with pytest.raises(ReleaseTamperedError, match=r"card\.md"):
        open_release(path)


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_exchanged_member_is_named(tmp_path: Path, name: str) -> None:
    """A member that was exchanged in a well-formed zip is named when it is read."""
    manifest = _open(build(DECLARATION, MEMBERS), tmp_path).source(MANIFEST)
    raw = pack_zip({MANIFEST: manifest, **MEMBERS, name: b"other"})
    release = _open(raw, tmp_path)
    with pytest.raises(ReleaseTamperedError, match=name):
        release.verify()


def test_missing_and_additional_members_are_refused(tmp_path: Path) -> None:
    """A member too few or too many is refused by name when the file is opened."""
    manifest = _open(build(DECLARATION, MEMBERS), tmp_path).source(MANIFEST)
    fewer = {n: c for n, c in MEMBERS.items() if n != "card.md"}
    with pytest.raises(ReleaseTamperedError, match=r"card\.md .* is missing"):
        _open(pack_zip({MANIFEST: manifest, **fewer}), tmp_path)
    with pytest.raises(ReleaseTamperedError, match=r"extra\.py .* not in the manifest"):
        _open(pack_zip({MANIFEST: manifest, **MEMBERS, "extra.py": b""}), tmp_path)
    with pytest.raises(ReleaseTamperedError, match=r"manifest\.json"):
        _open(pack_zip(MEMBERS), tmp_path)


@pytest.mark.parametrize(
    "raw",
    [b"", b"text", b"PK\x05\x06" + bytes(18), build(DECLARATION, MEMBERS) + b"tail"],
    ids=["empty", "text", "empty zip", "tail"],
)
def test_what_is_no_bundle_is_refused(tmp_path: Path, raw: bytes) -> None:
    """Another file, an empty zip, or a bundle with something behind it is refused."""
    with pytest.raises(ReleaseTamperedError):
        _open(raw, tmp_path)


def test_loose_manifest_is_refused(tmp_path: Path) -> None:
    """A manifest in another spelling, or of another schema, is not a release's."""
    manifest = json.loads(_open(build(DECLARATION, MEMBERS), tmp_path).source(MANIFEST))
    spaced = json.dumps(manifest, indent=1).encode()
    with pytest.raises(ReleaseTamperedError, match="canonical"):
        _open(pack_zip({MANIFEST: spaced, **MEMBERS}), tmp_path)
    for content in (b"[]", b'{"members":{},"plugin":"x","schema":"other","version":"1"}'):
        with pytest.raises(ReleaseTamperedError, match="expected osteon"):
            _open(pack_zip({MANIFEST: content}), tmp_path)


@pytest.mark.parametrize("name", ["../up", "/root", "a//b", "", "a/../b", ".hidden", "a\\b", "ä"])
def test_member_cannot_leave_the_folder(name: str) -> None:
    """Names that could lead out of the folder cannot be built."""
    with pytest.raises(ReleaseError):
        build(DECLARATION, {name: b""})


def test_declaration_must_be_complete_json() -> None:
    """Without plugin and version, or with a value that JSON does not have, nothing is built."""
    with pytest.raises(ReleaseError, match="version"):
        build({"plugin": "knee"}, {})
    with pytest.raises(ReleaseError, match="JSON"):
        build({**DECLARATION, "limits": {1, 2}}, {})


def test_attachments_stand_outside_the_digest(tmp_path: Path) -> None:
    """A signature attached later changes neither digest nor members."""
    release = _open(build(DECLARATION, MEMBERS), tmp_path)
    attach(tmp_path / "knee.osteon", "signatures/a.json", b"{}")
    attach(tmp_path / "knee.osteon", "signatures/a.json", b"[]")
    signed = open_release(tmp_path / "knee.osteon", release.digest)
    assert signed.attachments == ("signatures/a.json",)
    assert signed.attachment("signatures/a.json") == b"[]"
    assert signed.members == release.members
    with pytest.raises(NotFoundError):
        signed.attachment("signatures/b.json")
    with pytest.raises(NotFoundError):
        signed.member("attachments/signatures/a.json")


def test_unpacking_is_whole_and_repeatable(tmp_path: Path) -> None:
    """Unpacking twice does it once, takes over new attachments and leaves nothing beside."""
    release = _open(build(DECLARATION, MEMBERS), tmp_path)
    folder = tmp_path / "home" / "releases" / folder_name(release.digest)
    assert unpack(release, folder) == folder
    attach(tmp_path / "knee.osteon", "card.json", b"{}")
    unpack(open_release(tmp_path / "knee.osteon"), folder)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    again = verify_unpacked(folder)
    assert (again.digest, again.attachments) == (release.digest, ("card.json",))
    with pytest.raises(ReleaseError, match="folder named after"):
        unpack(release, folder.parent / "other")


def test_changed_folder_is_refused_by_name(tmp_path: Path) -> None:
    """In an unpacked folder a flipped byte, an added or a removed file is named."""
    release = _open(build(DECLARATION, MEMBERS), tmp_path)
    folder = unpack(release, tmp_path / folder_name(release.digest))
    for name in (*MEMBERS, MANIFEST):
        content = (folder / name).read_bytes()
        (folder / name).chmod(0o644)
        (folder / name).write_bytes(bytes([content[0] ^ 1]) + content[1:])
        with pytest.raises(ReleaseTamperedError, match=name):
            verify_unpacked(folder)
        (folder / name).unlink()
        with pytest.raises(ReleaseTamperedError, match=name):
            verify_unpacked(folder)
        (folder / name).write_bytes(content)
    (folder / "code/plugins/knee/extra.py").write_bytes(b"")
    with pytest.raises(ReleaseTamperedError, match=r"extra\.py"):
        verify_unpacked(folder)
    with pytest.raises(NotFoundError):
        verify_unpacked(tmp_path / ("0" * 64))


def test_another_release_under_the_name_is_refused(tmp_path: Path) -> None:
    """A whole and valid release in a folder or file that names another one is refused."""
    release = _open(build(DECLARATION, MEMBERS), tmp_path)
    folder = unpack(release, tmp_path / folder_name(release.digest))
    folder.rename(tmp_path / ("0" * 64))
    with pytest.raises(ReleaseTamperedError, match=r"manifest\.json"):
        verify_unpacked(tmp_path / ("0" * 64))
    with pytest.raises(ReleaseTamperedError):
        open_release(tmp_path / "knee.osteon", "sha256:" + "0" * 64)
