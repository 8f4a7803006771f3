#!/usr/bin/env python3
"""Check an evidence pack: Python 3.9, standard library, and the small verifier beside it.

    python3 PACK.zip --key KEY [--anchor NOTE_FILE ...]

KEY is the public key of the log as you were given it before.  1. The manifest is signed by KEY,
and every file of the pack is the one that it names.  2. Every checkpoint is signed by KEY, and
the tree over the leaf hashes has its root.  3. Every record is the leaf that it claims to be.
A pack of the whole log can be checked with `verify_log.py PACK.zip --key KEY` alone as well.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

try:
    import verify_log  # type: ignore[import-not-found,unused-ignore]  # in the pack
except ImportError:
    from audit import small_verifier as verify_log

UNSIGNED = ("manifest.json", "manifest.sig.txt")


def check_manifest(archive: zipfile.ZipFile, keys: list[tuple[Any, ...]]) -> dict[str, Any]:
    """Return the manifest, when a key of the log signed it and every file is as it names it."""
    text, _, lines = archive.read("manifest.sig.txt").decode().rpartition("\n\n")
    name, publics = keys[0][0], {key[1]: key[2] for key in keys}
    raw = archive.read("manifest.json")
    marks = [base64.b64decode(line.split(" ")[-1]) for line in lines.splitlines() if name in line]
    wanted = f"{name}/evidence-pack\n{hashlib.sha256(raw).hexdigest()}"
    message = (text + "\n").encode()
    ours = [mark for mark in marks if mark[:4] in publics]
    good = [m for m in ours if verify_log._signed(publics[m[:4]], message, m[4:])]
    if text != wanted or not good:
        sys.exit("FAULT: the manifest is not what the site signed")
    manifest: dict[str, Any] = json.loads(raw)
    names = archive.namelist()
    if len(set(names)) != len(names):
        sys.exit("FAULT: a file stands in the pack twice")
    if set(names) - set(UNSIGNED) != set(manifest["members"]):
        odd = sorted((set(names) - set(UNSIGNED)) ^ set(manifest["members"]))
        sys.exit(f"FAULT: {odd[0]} is missing, or is not in the manifest")
    for member, digest in manifest["members"].items():
        with archive.open(member) as file:
            found = hashlib.sha256()
            while chunk := file.read(1 << 20):
                found.update(chunk)
        if f"sha256:{found.hexdigest()}" != digest:
            sys.exit(f"FAULT: {member} is not the file that was signed")
    return manifest


def check_tree(archive: zipfile.ZipFile, roots: dict[int, bytes]) -> int:
    """Return how many leaf hashes there are, when their tree has every signed root."""
    stack: list[bytes] = []
    size = 0
    with archive.open("hashes.bin") as kept:
        while value := kept.read(32):
            index = size
            while index & 1:
                value = hashlib.sha256(b"\x01" + stack.pop() + value).digest()
                index >>= 1
            stack.append(value)
            size += 1
            if size in roots and roots[size] != verify_log._root(stack):
                sys.exit(f"FAULT: the tree of {size} records is not the one that was signed")
    if not roots or max(roots) > size:
        sys.exit(f"FAULT: the hashes end at {size}, of {max(roots, default=0)} signed")
    return size


def check_records(archive: zipfile.ZipFile) -> int:
    """Return how many records there are, when each is the leaf that it claims to be."""
    hashes = archive.read("hashes.bin")
    count = 0
    with archive.open("records.ndjson") as lines, archive.open("positions.txt") as places:
        for line in lines:
            place = int(places.readline())
            value, fact = hashlib.sha256(b"\x00" + line[:-1]).digest(), json.loads(line)
            if fact.get("schema") == "osteon.audit.tombstone/1":
                value = bytes.fromhex(fact["leaf_hash"])
            if line[-1:] != b"\n" or place < 0 or value != hashes[32 * place : 32 * place + 32]:
                sys.exit(f"FAULT: the record at {place} is not the one in the log")
            count += 1
        if places.readline():
            sys.exit(f"FAULT: the records end at {count}, and more are named")
    return count


def main() -> None:
    """Check the pack that the command line names, by default the one that is being run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pack", nargs="?", default=sys.argv[0])
    parser.add_argument("--key", required=True, help="public key as text, or a file with it")
    parser.add_argument("--anchor", action="append", default=[], help="file with a checkpoint")
    given = parser.parse_args()
    key = verify_log._key(given.key)
    if key[3]:
        sys.exit("FAULT: the key is one of a witness, and not of a log")
    archive = zipfile.ZipFile(given.pack)
    folders = ("checkpoints/", "witness/", "handover/")
    parts = {n: archive.read(n).decode() for n in archive.namelist() if n.startswith(folders)}
    keys = verify_log._chain(key, [parts[n] for n in parts if n.startswith("handover/")])
    manifest = check_manifest(archive, [span[0] for span in keys])
    notes = [*parts.values(), *(Path(p).read_text() for p in given.anchor)]
    roots: dict[int, bytes] = {}
    for note in notes:
        size, root = verify_log._tree(note, *keys)
        if not root or not note.startswith(f"{key[0]}\n"):
            sys.exit("FAULT: a checkpoint is not signed by the key, or is one of another log")
        if roots.setdefault(size, root) != root:
            sys.exit(f"FAULT: two different trees of {size} records are signed")
    size = check_tree(archive, roots)
    count = check_records(archive)
    if count != manifest["records"]["count"]:
        sys.exit(f"FAULT: {count} records, and {manifest['records']['count']} are named")
    articles = ", ".join(manifest["articles"])
    sys.stdout.write(f"GOOD: {count} of {size} records, {len(roots)} checkpoints, ")
    sys.stdout.write(f"{len(manifest['members'])} files; articles {articles}\n")


if __name__ == "__main__":
    main()
