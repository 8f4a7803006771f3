"""An evidence pack holds what it says, and every change to it is found, without us."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.compose import Site
from adapters.evidence.packing import Asked, Packed, pack_evidence
from audit.checkpoint import new_signer
from audit.errors import ConfigurationError
from audit.record import decode
from governance.evidence import ARTICLES, chosen, kinds_of
from tests.simulators.governed_site import COMPLIANCE, governed_site


@dataclass
class Packs:
    """A site with a few records, and a place for packs."""

    site: Site
    folder: Path

    def pack(self, name: str = "pack.zip", **asked: object) -> Packed:
        """Write a pack of a site."""
        person = f"account:{COMPLIANCE.account_id}"
        return pack_evidence(self.site, self.folder / name, Asked(**asked), person)  # type: ignore[arg-type]

    @property
    def key(self) -> str:
        """Return the public key of the log."""
        return self.site.keys.log.verifier.text()


@pytest.fixture
def packs(tmp_path: Path) -> Iterator[Packs]:
    """A site with records of several kinds on two days."""
    with governed_site(tmp_path) as (site, clock):
        for number in range(40):
            with site.database.transaction() as transaction:
                site.journal.fault(transaction, "DISK_FULL", f"part-{number}")
                site.journal.stop(transaction, "site", "stop", "account:approver")
            if number == 19:
                clock.forward(days=1)
        yield Packs(site, tmp_path)


def check(pack: Path, key: str, *more: str, cwd: Path | None = None) -> tuple[int, str]:
    """Run the pack as an outsider does: plain Python, isolated, elsewhere."""
    done = subprocess.run(
        [sys.executable, "-I", str(pack), "--key", key, *more],
        capture_output=True, text=True, check=False, cwd=cwd, env={},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_a_pack_of_everything_is_a_bundle_too(packs: Packs, tmp_path: Path) -> None:
    """One command checks the pack; the small verifier alone checks it as well."""
    done = packs.pack()
    code, said = check(done.path, packs.key, cwd=tmp_path)
    assert code == 0, said
    assert f"GOOD: {done.count} of {done.count} records" in said
    with zipfile.ZipFile(done.path) as archive:
        verifier = tmp_path / "verify_log.py"
        verifier.write_bytes(archive.read("verify_log.py"))
        index = archive.read("index.html").decode()
    code, said = check(verifier, packs.key)  # without its argument it says how it is used
    assert code == 2
    small = subprocess.run(
        [sys.executable, "-I", str(verifier), str(done.path), "--key", packs.key],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert small.returncode == 0, small.stdout + small.stderr
    for number, article in ARTICLES.items():
        assert f"Article {number}: {article.title[0]}" in index


def test_a_window_holds_its_records_alone(packs: Packs) -> None:
    """Articles and window choose the records; the others stand as hashes, and all is proved."""
    site = packs.site
    since = site.now() - timedelta(hours=1)
    done = packs.pack(articles=("14",), since=since, language="de")
    with zipfile.ZipFile(done.path) as archive:
        records = [decode(line) for line in archive.read("records.ndjson").splitlines()]
        manifest = json.loads(archive.read("manifest.json"))
        assert len(archive.read("hashes.bin")) == 32 * done.tree_size
        index = archive.read("index.html").decode()
    assert {record.kind for record in records} == {"stop"}
    assert len(records) == done.count == 20
    assert list(manifest["articles"]) == ["14"]
    assert "Menschliche Aufsicht" in index
    code, said = check(done.path, packs.key)
    assert code == 0, said


def _rewritten(pack: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Write a pack anew with some files changed; None takes a file out."""
    with zipfile.ZipFile(pack) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(pack, "w") as archive:
        for name, content in files.items():
            changed = change(name, content)
            if changed is not None:
                archive.writestr(name, changed)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("records.ndjson", b"part-3", b"part-9"),
        ("positions.txt", b"3\n", b"4\n"),
        ("hashes.bin", b"", b"x"),
        ("index.html", b"Human", b"Huuan"),
        ("reports/oversight.json", b"", None),
        ("manifest.json", b"test-site", b"best-site"),
        ("manifest.sig.txt", b"evidence", b"evidense"),
    ],
)
def test_every_change_is_found(packs: Packs, name: str, old: bytes, new: bytes | None) -> None:
    """A changed record, place, hash, document, manifest or signature is a fault."""
    done = packs.pack()

    def change(member: str, content: bytes) -> bytes | None:
        if member != name:
            return content
        if new is None:
            return None
        return content.replace(old, new, 1) if old else content[:-1] + new

    _rewritten(done.path, change)
    code, said = check(done.path, packs.key)
    assert code == 1, said
    assert "FAULT" in said


def test_a_file_put_in_and_a_foreign_key_are_found(packs: Packs) -> None:
    """What is not in the manifest, and what another key signed, is refused."""
    done = packs.pack()
    code, said = check(done.path, new_signer("elsewhere.example/log").verifier.text())
    assert code == 1
    assert "FAULT" in said
    with zipfile.ZipFile(done.path, "a") as archive:
        archive.writestr("reports/better.json", b"{}")
    code, said = check(done.path, packs.key)
    assert code == 1
    assert "not in the manifest" in said


def test_an_anchor_finds_a_log_written_anew(packs: Packs, tmp_path: Path) -> None:
    """A checkpoint that somebody kept must be one of the tree."""
    packs.site.seal(force=True)
    with packs.site.database.reading() as transaction:
        kept = transaction.last_checkpoint()
    assert kept is not None
    anchor = tmp_path / "anchor.txt"
    anchor.write_text(kept.note, "utf-8")
    done = packs.pack()
    assert check(done.path, packs.key, "--anchor", str(anchor))[0] == 0
    forged = packs.site.keys.log.sign_note(
        kept.note.split("\n")[0] + f"\n{kept.tree_size}\n" + "A" * 43 + "=\n"
    )
    anchor.write_text(forged, "utf-8")
    code, said = check(done.path, packs.key, "--anchor", str(anchor))
    assert code == 1
    assert "two different trees" in said


def test_the_export_is_on_record_and_no_patient_leaves(packs: Packs) -> None:
    """An export record names the digest of the very file; a foolish request leaves nothing."""
    done = packs.pack(articles=("12", "19"))
    packs.site.seal()
    with packs.site.database.reading() as transaction:
        leaves = list(transaction.leaves(0, transaction.tree_size()))
    last = [decode(leaf.leaf) for leaf in leaves if leaf.kind == "export"][-1]
    assert last.body["sha256"] == done.sha256
    assert last.body["filters"]["articles"] == ["12", "19"]
    assert last.actor.id == "account:compliance"
    for wrong in ({"articles": ("11",)}, {"since": packs.site.now(), "until": packs.site.now()}):
        with pytest.raises(ConfigurationError):
            packs.pack("none.zip", **wrong)
    assert not (packs.folder / "none.zip").exists()
    assert not list(packs.folder.glob(".none*"))


def test_articles_speak_of_kinds_that_exist() -> None:
    """Every kind that an article names is one that is recorded; 12 is about all."""
    from audit.kinds import KINDS

    for article in ARTICLES.values():
        assert set(article.kinds) <= set(KINDS)
    assert kinds_of(("12",)) == set(KINDS)
    assert chosen(()) == tuple(ARTICLES)
    assert chosen(("72", "12")) == ("12", "72")
