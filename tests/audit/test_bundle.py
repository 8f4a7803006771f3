"""The log in a file: two verifiers of different make find every way to change it."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from audit.bundle import (
    check_bundle_attested,
    read_bundle,
    small_verifier,
    verify_bundle,
    write_bundle,
)
from audit.checkpoint import Checkpoint, Signer, new_signer, sign, split_note
from audit.cosignature import ED25519, Cosigner
from audit.errors import LogTamperedError
from audit.merkle import leaf_hash, root_of
from audit.ports import Attestation
from audit.record import make_record
from tests.simulators.site_database import ORIGIN, SOURCE, Recorded

Parts = dict[str, bytes]


@pytest.fixture
def bundle(sqlite_recorded: Recorded, tmp_path: Path) -> Path:
    """A bundle of 12 records under checkpoints of 5, 9 and 12."""
    for count in (5, 4, 3):
        with sqlite_recorded.database.transaction() as transaction:
            for number in range(count):
                body = {"code": f"X{number}", "where": "test"}
                record = make_record("fault", SOURCE, sqlite_recorded.clock(), body)
                sqlite_recorded.log.append(transaction, record)
        sqlite_recorded.log.seal(sqlite_recorded.database)
        sqlite_recorded.clock.advance(60)
    path = tmp_path / "log.zip"
    with sqlite_recorded.database.reading() as store:
        count = write_bundle(
            path, store.leaves(0, store.tree_size()), store.checkpoints(), sqlite_recorded.key
        )
    assert count == 12
    return path


def _small(path: Path, key: str, *anchors: Path, witnesses: Sequence[str] = ()) -> tuple[int, str]:
    """Run the verifier of the bundle itself, in an interpreter that sees no package of ours."""
    program = path.parent / "verify_log.py"
    with zipfile.ZipFile(path) as archive:
        program.write_bytes(archive.read("verify_log.py"))
    options = [part for anchor in anchors for part in ("--anchor", str(anchor))]
    options += [part for witness in witnesses for part in ("--witness", witness)]
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(program), str(path), "--key", key, *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def _changed(path: Path, change: Callable[[Parts], object]) -> Path:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    other = path.with_name("changed.zip")
    with zipfile.ZipFile(other, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return other


def _lines(change: Callable[[list[bytes]], None], *, with_hashes: bool) -> Callable[[Parts], None]:
    """Change the records, and hide it in the kept hashes as a careful attacker would."""

    def apply(parts: Parts) -> None:
        lines = parts["records.ndjson"].splitlines(keepends=True)
        change(lines)
        parts["records.ndjson"] = b"".join(lines)
        if with_hashes:
            parts["hashes.bin"] = b"".join(leaf_hash(line[:-1]) for line in lines)

    return apply


def _edit(lines: list[bytes]) -> None:
    lines[7] = lines[7].replace(b"X2", b"X3")


def _swap(lines: list[bytes]) -> None:
    lines[3], lines[4] = lines[4], lines[3]


ATTACKS: dict[str, Callable[[list[bytes]], None]] = {
    "edit": _edit,
    "delete": lambda lines: lines.__delitem__(6),
    "insert": lambda lines: lines.insert(2, lines[9]),
    "reorder": _swap,
    "cut the tail": lambda lines: lines.__delitem__(slice(10, None)),
    "cut below every checkpoint": lambda lines: lines.__delitem__(slice(4, None)),
}


def test_both_verifiers_accept_what_was_written(bundle: Path, sqlite_recorded: Recorded) -> None:
    """An untouched bundle is good, with and without its key given, and says the same root."""
    key = sqlite_recorded.key
    summary = verify_bundle(bundle, key)
    assert (summary.tree_size, summary.signed_size, summary.checkpoint_count) == (12, 12, 3)
    assert verify_bundle(bundle) == summary
    code, words = _small(bundle, key.text())
    assert code == 0, words
    assert words.startswith("GOOD: 12 records, 3 checkpoints")
    assert summary.root_hash in words


@pytest.mark.reg("TLOG-1")
@pytest.mark.parametrize("careful", [False, True], ids=["hashes left", "hashes rewritten"])
@pytest.mark.parametrize("name", ATTACKS)
def test_both_verifiers_find_the_attack(
    bundle: Path, sqlite_recorded: Recorded, name: str, careful: bool
) -> None:
    """Whatever is changed in the records, both say so."""
    other = _changed(bundle, _lines(ATTACKS[name], with_hashes=careful))
    with pytest.raises(LogTamperedError):
        verify_bundle(other, sqlite_recorded.key)
    code, words = _small(other, sqlite_recorded.key.text())
    assert code == 1
    assert words.startswith("FAULT: ")


def test_the_first_changed_record_is_named(bundle: Path, sqlite_recorded: Recorded) -> None:
    """The kept hashes tell which record it was."""
    other = _changed(bundle, _lines(_edit, with_hashes=False))
    with pytest.raises(LogTamperedError, match="record 7"):
        verify_bundle(other, sqlite_recorded.key)
    assert "record 7 " in _small(other, sqlite_recorded.key.text())[1]


def _rebuilt(signer: Signer) -> Callable[[Parts], None]:
    """Write the log anew without its tail and sign it: an administrator who has the key."""

    def change(parts: Parts) -> None:
        lines = parts["records.ndjson"].splitlines(keepends=True)[:10]
        _edit(lines)
        hashes = [leaf_hash(line[:-1]) for line in lines]
        parts["records.ndjson"] = b"".join(lines)
        parts["hashes.bin"] = b"".join(hashes)
        for name in [item for item in parts if item.startswith("checkpoints/")]:
            del parts[name]
        note = sign(Checkpoint(ORIGIN, 10, root_of(hashes)), signer)
        parts["checkpoints/10.txt"] = note.encode()

    return change


@pytest.mark.reg("TLOG-1")
def test_a_log_written_anew_is_found_by_an_anchor(bundle: Path, sqlite_recorded: Recorded) -> None:
    """Who holds the signing key can rebuild the log, but not what others have kept of it."""
    key = sqlite_recorded.key
    kept = bundle.with_name("kept.txt")
    with zipfile.ZipFile(bundle) as archive:
        kept.write_bytes(archive.read("checkpoints/9.txt"))
    other = _changed(bundle, _rebuilt(sqlite_recorded.signer()))
    assert verify_bundle(other, key).tree_size == 10
    with pytest.raises(LogTamperedError):
        verify_bundle(other, key, [kept.read_text()])
    assert _small(other, key.text())[0] == 0
    code, words = _small(other, key.text(), kept)
    assert code == 1, words
    late = bundle.with_name("late.txt")
    with zipfile.ZipFile(bundle) as archive:
        late.write_bytes(archive.read("checkpoints/12.txt"))
    assert "ends at record 10" in _small(other, key.text(), late)[1]


def test_the_signature_of_another_key_does_not_count(
    bundle: Path, sqlite_recorded: Recorded
) -> None:
    """A log signed by anybody else is not the log of this key, whatever the bundle says."""
    stranger = new_signer(ORIGIN)
    other = _changed(bundle, _rebuilt(stranger))
    with pytest.raises(LogTamperedError):
        verify_bundle(other, sqlite_recorded.key)
    assert _small(other, sqlite_recorded.key.text())[0] == 1
    swapped = _changed(
        bundle, lambda parts: parts.update({"key.txt": stranger.verifier.text().encode()})
    )
    with pytest.raises(LogTamperedError, match="another in the bundle"):
        verify_bundle(swapped, sqlite_recorded.key)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda parts: parts.pop("records.ndjson"),
        lambda parts: parts.pop("hashes.bin"),
        lambda parts: [parts.pop(n) for n in list(parts) if n.startswith("checkpoints/")],
        lambda parts: parts.update({"records.ndjson": b"x" * 40}),
        lambda parts: parts.update({"records.ndjson": b"[1]\n" * 12}),
        lambda parts: parts.update({"checkpoints/5.txt": b"\xff"}),
        lambda parts: parts.update({"checkpoints/5.txt": b"no note"}),
    ],
)
def test_a_bundle_that_is_none_is_refused(
    bundle: Path, sqlite_recorded: Recorded, spoil: Callable[[Parts], object]
) -> None:
    """Missing or broken parts end in one clear error, never in a pass."""
    other = _changed(bundle, spoil)
    with pytest.raises(LogTamperedError):
        verify_bundle(other, sqlite_recorded.key)
    assert _small(other, sqlite_recorded.key.text())[0] == 1


def test_a_bundle_without_its_key_is_refused(bundle: Path) -> None:
    """The key travels along, so that a reader can compare it with the one he was given."""
    with pytest.raises(LogTamperedError, match="bundle"):
        verify_bundle(_changed(bundle, lambda parts: parts.pop("key.txt")))


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    """Any other file is named as no bundle."""
    path = tmp_path / "x.zip"
    path.write_bytes(b"not a zip")
    with pytest.raises(LogTamperedError, match="bundle"):
        read_bundle(path)


@pytest.mark.reg("AIA-21")
def test_the_small_verifier_is_small_and_alone() -> None:
    """At most 150 lines, and nothing imported but the standard library."""
    source = small_verifier().decode()
    assert len(source.splitlines()) <= 150
    imported = {
        line.split()[1] for line in source.splitlines() if line.startswith(("import ", "from "))
    }
    assert imported <= set(sys.stdlib_module_names)


def test_the_small_verifier_checks_cosignatures(bundle: Path, sqlite_recorded: Recorded) -> None:
    """A witness that is named must have cosigned; a wrong or a missing cosignature is a fault."""
    site = sqlite_recorded
    witness, stranger = (
        Cosigner(f"witness.test/{n}", ED25519, n.encode() * 32) for n in ("a", "b")
    )
    with site.database.reading() as store:
        checkpoints = store.checkpoints()
        text, _ = split_note(checkpoints[1].note)
        line = witness.cosign(text, site.clock())
        said = [Attestation(9, "a", "cosignature", line, site.clock())]
        leaves = store.leaves(0, store.tree_size())
        write_bundle(bundle, leaves, checkpoints, site.key, said)
    code, words = _small(bundle, site.key.text(), witnesses=[witness.key.text()])
    assert (code, "witness.test/a': 9" in words) == (0, True), words
    code, words = _small(bundle, site.key.text(), witnesses=[stranger.key.text()])
    assert (code, "not every witness" in words) == (1, True)
    assert check_bundle_attested(read_bundle(bundle), (), [witness.key]).cosigned[0].size == 9
    with pytest.raises(LogTamperedError, match="found none"):
        check_bundle_attested(read_bundle(bundle), (), [stranger.key])
    other_line = witness.cosign(split_note(checkpoints[0].note)[0], site.clock())
    swapped = _changed(
        bundle,
        lambda parts: parts.update(
            {"witness/9-a.txt": (checkpoints[1].note + other_line).encode()}
        ),
    )
    code, words = _small(swapped, site.key.text(), witnesses=[witness.key.text()])
    assert (code, "signature of witness.test/a is wrong" in words) == (1, True)
    with pytest.raises(LogTamperedError, match="wrong one"):
        check_bundle_attested(read_bundle(swapped), (), [witness.key])


def test_the_small_verifier_runs_on_an_old_python(bundle: Path, sqlite_recorded: Recorded) -> None:
    """Python 3.9 is enough, where one is installed."""
    found = [path for path in map(shutil.which, ("python3.9", "python3.10")) if path]
    runs = [p for p in found if subprocess.run([p, "-c", ""], check=False).returncode == 0]
    python = runs[0] if runs else None
    if python is None:
        pytest.skip("no Python 3.9 or 3.10 on this machine")
    program = bundle.with_name("verify_log.py")
    program.write_bytes(small_verifier())
    command = [python, "-I", "-S", str(program), str(bundle), "--key", sqlite_recorded.key.text()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:5]) == (0, "GOOD:"), done.stderr
