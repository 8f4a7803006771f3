"""A log whose key was changed is verified from any of its keys, and no thief signs on."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from audit.bundle import verify_bundle, write_bundle
from audit.checkpoint import Checkpoint, Signer, new_signer, sign, verify
from audit.errors import ConfigurationError, LogTamperedError
from audit.key_chain import chain_of, hand_over, read_handover
from audit.log import Log
from audit.record import make_record
from tests.simulators.site_database import ORIGIN, SOURCE, Recorded

ROOT = b"\x07" * 32
FIRST, SECOND, THIRD = new_signer(ORIGIN), new_signer(ORIGIN), new_signer(ORIGIN)
ONE = hand_over(Checkpoint(ORIGIN, 5, ROOT), FIRST, SECOND)
TWO = hand_over(Checkpoint(ORIGIN, 9, ROOT), SECOND, THIRD)


def at(size: int) -> Checkpoint:
    """Return a checkpoint of a size."""
    return Checkpoint(ORIGIN, size, ROOT)


@pytest.mark.parametrize("given", [FIRST, SECOND, THIRD])
@pytest.mark.parametrize("notes", [(ONE, TWO), (TWO, ONE), (ONE, TWO, ONE)])
def test_the_chain_hangs_on_any_of_its_keys(given: Signer, notes: tuple[str, ...]) -> None:
    """Whoever has one key of the log finds the others, forwards and back."""
    chain = chain_of(given.verifier, notes)
    assert [(s.key, s.first_size, s.last_size) for s in chain.spans] == [
        (FIRST.verifier, 0, 5), (SECOND.verifier, 5, 9), (THIRD.verifier, 9, None),
    ]  # fmt: skip
    assert chain.newest == THIRD.verifier
    for signer, size in ((FIRST, 3), (FIRST, 5), (SECOND, 5), (SECOND, 9), (THIRD, 9), (THIRD, 99)):
        assert verify(sign(at(size), signer), chain) == at(size)


@pytest.mark.parametrize(("signer", "size"), [(FIRST, 6), (SECOND, 4), (SECOND, 10), (THIRD, 8)])
def test_a_key_signs_no_tree_outside_its_time(signer: Signer, size: int) -> None:
    """A stolen old key cannot sign the tree on, a new one not the tree before it."""
    with pytest.raises(LogTamperedError, match="found none"):
        verify(sign(at(size), signer), chain_of(THIRD.verifier, (ONE, TWO)))


def test_without_handover_one_key_is_the_chain() -> None:
    """A log that never changed its key is verified with that one."""
    chain = chain_of(FIRST.verifier, ())
    assert verify(sign(at(7), FIRST), chain) == at(7)
    with pytest.raises(LogTamperedError):
        verify(sign(at(7), SECOND), chain)


STRANGER = new_signer(ORIGIN)
FALLING = hand_over(at(3), SECOND, THIRD)
FORK = hand_over(at(5), FIRST, STRANGER)


@pytest.mark.parametrize(
    ("given", "notes", "words"),
    [
        (FIRST, (ONE, FORK), "forked"),
        (FIRST, (ONE, FALLING), "falling"),
        (STRANGER, (ONE,), "given"),
        (FIRST, (TWO,), "given"),
        (FIRST, (sign(at(5), FIRST),), "handover"),
        (FIRST, (ONE.replace("handover", "hand-over"),), "handover"),
        (FIRST, (ONE.replace("\n5\n", "\n6\n"),), "wrong"),
        (FIRST, (ONE.replace(SECOND.verifier.text(), THIRD.verifier.text()),), "wrong|found none"),
        (FIRST, ("\n".join(ONE.split("\n")[:-2]) + "\n",), "found none|signed note"),
        (FIRST, ("",), "handover"),
        (FIRST, (ONE.replace(" -> ", " "),), "handover"),
    ],
)
def test_a_wrong_handover_is_refused(given: Signer, notes: tuple[str, ...], words: str) -> None:
    """Two successors, falling sizes, a missing signature, another key, another form."""
    with pytest.raises(LogTamperedError, match=words):
        chain_of(given.verifier, notes)


def test_a_cycle_of_handovers_ends() -> None:
    """A key that hands over to one before it is no chain, and nothing loops."""
    back = hand_over(at(9), SECOND, FIRST)
    with pytest.raises(LogTamperedError):
        chain_of(FIRST.verifier, (ONE, back, TWO))


def test_only_keys_of_one_log_hand_over() -> None:
    """Another origin, or the same key twice, makes no handover."""
    for before, after in ((FIRST, FIRST), (FIRST, new_signer("other")), (new_signer("x"), FIRST)):
        with pytest.raises(ConfigurationError):
            hand_over(at(5), before, after)
    assert read_handover(ONE).checkpoint == at(5)


@pytest.fixture
def bundle(sqlite_recorded: Recorded, tmp_path: Path) -> tuple[Path, Signer, Signer]:
    """A bundle of 9 records, whose key was changed after the first 5."""
    old = sqlite_recorded.log.signer
    assert isinstance(old, Signer)
    new = new_signer(ORIGIN)
    database, clock = sqlite_recorded.database, sqlite_recorded.clock
    note, log = "", sqlite_recorded.log
    for count in (5, 4):
        with database.transaction() as transaction:
            for number in range(count):
                body = {"code": f"X{number}", "where": "test"}
                log.append(transaction, make_record("fault", SOURCE, clock(), body))
        log.seal(database)
        clock.advance(60)
        if not note:
            with database.transaction() as transaction:
                log.sign_checkpoint(transaction, clock(), force=True)
                note = hand_over(log.head(transaction), old, new)
            log = Log(ORIGIN, new, clock, keys=chain_of(new.verifier, (note,)))
    with database.transaction() as transaction:
        log.sign_checkpoint(transaction, clock(), force=True)
    path = tmp_path / "log.zip"
    with database.reading() as store:
        leaves = store.leaves(0, store.tree_size())
        write_bundle(path, leaves, store.checkpoints(), new.verifier, handovers=(note,))
    return path, old, new


def small(path: Path, key: str) -> tuple[int, str]:
    """Run the verifier of the bundle itself."""
    program = path.with_name("verify_log.py")
    with zipfile.ZipFile(path) as archive:
        program.write_bytes(archive.read("verify_log.py"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(program), str(path), "--key", key],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.reg("TLOG-1")
def test_both_verifiers_go_through_a_change_of_keys(bundle: tuple[Path, Signer, Signer]) -> None:
    """Old checkpoints stay good, from the old key as from the new; a stranger's is refused."""
    path, old, new = bundle
    for key in (old, new):
        assert verify_bundle(path, key.verifier).tree_size == 9
        assert small(path, key.verifier.text())[0] == 0
    assert verify_bundle(path).tree_size == 9
    stranger = new_signer(ORIGIN)
    with pytest.raises(LogTamperedError):
        verify_bundle(path, stranger.verifier)
    code, words = small(path, stranger.verifier.text())
    assert code == 1
    assert "FAULT" in words


@pytest.mark.reg("TLOG-1")
@pytest.mark.parametrize("change", ["drop", "late", "root"])
def test_both_verifiers_refuse_what_a_handover_does_not_cover(
    bundle: tuple[Path, Signer, Signer], change: str
) -> None:
    """Without its handover, or with a tree that the old key signed afterwards, it is refused."""
    path, old, new = bundle
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    (name,) = [item for item in parts if item.startswith("handover/")]
    last = max(item for item in parts if item.startswith("checkpoints/"))
    if change == "drop":
        del parts[name]
    elif change == "late":
        claimed = verify(parts[last].decode(), new.verifier)
        parts[last] = sign(claimed, old).encode()
    else:
        forged = hand_over(Checkpoint(ORIGIN, 5, b"\1" * 32), old, new)
        parts[name] = forged.encode()
    other = path.with_name("other.zip")
    with zipfile.ZipFile(other, "w") as archive:
        for item, content in parts.items():
            archive.writestr(item, content)
    for key in (old, new):
        with pytest.raises(LogTamperedError):
            verify_bundle(other, key.verifier)
        assert small(other, key.verifier.text())[0] == 1
