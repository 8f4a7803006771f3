"""Check an audit log: verify_log.py BUNDLE --key KEY [--anchor NOTE_FILE ...] [--witness KEY ...]

Python 3.9, standard library alone.  At each checkpoint (C2SP signed-note, RFC 8032) signed by KEY
or one that handovers join to it, the Merkle root (RFC 9162, 2.1.1) is that of the records; none is
missing, or purged without an order.  Anchors and witnesses find a log cut or written anew.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
import zipfile
from functools import reduce
from pathlib import Path

H, P = hashlib.sha256, 2**255 - 19  # RFC 8032, 5.1
L, D = 2**252 + 27742317777372353535851937790883648493, -121665 * pow(121666, P - 2, P) % P
Point = tuple[int, int, int, int]
Key = tuple[str, bytes, bytes, bool]  # name, key id, public key, of a witness?
GY = 4 * pow(5, P - 2, P) % P
GX = 0x216936D3CD6E53FEC0A4E231FDD6DC5C692CC7609525A7B2C9562D608F25D51A
GROUND: Point = (GX, GY, 1, GX * GY % P)


def _add(p: Point, q: Point) -> Point:  # extended coordinates, RFC 8032, 5.1.4
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _multiply(scalar: int, point: Point) -> Point:
    steps = {"0": (0, 1, 1, 0), "1": point}
    return reduce(lambda sum_, bit: _add(_add(sum_, sum_), steps[bit]), bin(scalar)[2:], steps["0"])


def _point_of(data: bytes) -> Point | None:  # RFC 8032, 5.1.3
    sign, y = divmod(int.from_bytes(data, "little"), 1 << 255)
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    x = x * pow(2, (P - 1) // 4, P) % P if (v * x * x + u) % P == 0 else x
    if len(data) != 32 or y >= P or (v * x * x - u) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def _signed(public: bytes, message: bytes, signature: bytes) -> bool:  # RFC 8032, 5.1.7
    a, r, s = _point_of(public), _point_of(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or len(signature) != 64 or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    p, q = _multiply(s, GROUND), _add(r, _multiply(k, a))
    return (p[0] * q[2] - q[0] * p[2]) % P == (p[1] * q[2] - q[1] * p[2]) % P == 0


def _key(text: str) -> Key:  # of a key's text, or of a file with it
    name, key_id, content = (text if "+" in text else Path(text).read_text()).strip().split("+", 2)
    data = base64.b64decode(content)
    expected = H(name.encode() + b"\n" + data).digest()[:4]
    if data[:1] not in (b"\x01", b"\x04") or len(data) != 33 or expected.hex() != key_id:
        sys.exit("FAULT: the public key is malformed")
    return name, expected, data[1:], data[0] == 4


def _tree(note: str, *keys: tuple[Key, int, int]) -> tuple[int, bytes]:  # zeros: nobody signed it
    text, _, lines = note.rpartition("\n\n")
    size, root = [*text.split("\n"), "", ""][1:3]
    found = (0, b"")
    for (name, key_id, public, witness), first, last in keys:
        ours = [line.split(" ")[-1] for line in lines.splitlines() if f"\u2014 {name} " in line]
        marks = [mark[4:] for mark in map(base64.b64decode, ours) if mark[:4] == key_id]
        for mark in marks:  # C2SP signed-note and tlog-cosignature: 8 bytes of time before it
            head = f"cosignature/v1\ntime {int.from_bytes(mark[:8], 'big')}\n" if witness else ""
            if not _signed(public, f"{head}{text}\n".encode(), mark[8 * witness :]):
                sys.exit(f"FAULT: checkpoint {size}: the signature of {name} is wrong")
        if marks and first <= int(size) <= last:
            found = (int(size), base64.b64decode(root))
    return found


def _chain(key: Key, notes: list[str]) -> list[tuple[Key, int, int]]:  # keys, from size to size
    rows: list[tuple[int, Key, Key]] = []
    for note in notes:
        old, new = map(_key, note.split("\n")[3].removeprefix("handover ").split(" -> "))
        rows = sorted([*rows, (min(_tree(note, (k, 1, P))[0] for k in (old, new)), old, new)])
    keys = [row[1] for row in rows[:1]] + [row[2] for row in rows] or [key]
    if key not in keys or [row[1] for row in rows] != keys[:-1] or (rows and not rows[0][0]):
        sys.exit("FAULT: the handovers of keys do not join to the key that was given")
    ends = [0, *(row[0] for row in rows), P]
    return [(owner, ends[i], ends[i + 1]) for i, owner in enumerate(keys)]


def _root(stack: list[bytes]) -> bytes:  # of complete subtrees, left to right
    return reduce(lambda b, a: H(b"\x01" + a + b).digest(), stack[::-1]) if stack else H().digest()


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("--key", required=True, help="public key as text, or a file with it")
    parser.add_argument("--anchor", action="append", default=[], help="file with a checkpoint")
    parser.add_argument("--witness", action="append", default=[], help="key of a cosigner")
    given = parser.parse_args()
    key, archive, roots = _key(given.key), zipfile.ZipFile(given.bundle), dict[int, bytes]()
    names = [n for n in archive.namelist() if n.startswith(("checkpoints", "witness", "handover"))]
    notes = [archive.read(n).decode() for n in names] + [Path(p).read_text() for p in given.anchor]
    keys = _chain(key, [note for name, note in zip(names, notes) if name[0] == "h"])  # noqa: B905
    for note in notes:
        size, root = _tree(note, *keys)
        if not root or not note.startswith(f"{key[0]}\n"):
            sys.exit(f"FAULT: checkpoint {size}: the signature of {key[0]} is missing or wrong")
        if roots.setdefault(size, root) != root:
            sys.exit(f"FAULT: two trees of {size} records are signed: forked before record {size}")
    seen = {w[0]: max(_tree(n, (w, 0, P))[0] for n in notes) for w in map(_key, given.witness)}
    if not all(seen.values()):
        sys.exit(f"FAULT: not every witness cosigned a checkpoint of this log: {seen}")
    stack, dead, size, last, kept = list[bytes](), set[int](), 0, -1, archive.open("hashes.bin")
    for line in archive.open("records.ndjson"):
        value, fact = H(b"\x00" + line[:-1]).digest(), json.loads(line)
        if fact.get("schema") == "osteon.audit.tombstone/1":
            value = bytes.fromhex(fact["leaf_hash"])
            dead.add(size)
        if line[-1:] != b"\n" or kept.read(32) != value or "event_id" not in fact:
            sys.exit(f"FAULT: record {size} is not what its hash says")
        if fact["kind"] == "purge" and "body" in fact:
            body, mark = fact["body"], base64.b64decode(fact["body"].pop("signature"))[4:]
            text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
            order = f"osteon.purge/1\n{H(text.encode()).hexdigest()}\n".encode()
            if any(_signed(k[2], order, mark) for k, low, high in keys if low <= size + 1 <= high):
                dead -= {n for first, end in body["leaves"] for n in range(first, end + 1)}
        for _ in range((~size & size + 1).bit_length() - 1):  # a subtree for each trailing 1
            value = H(b"\x01" + stack.pop() + value).digest()
        stack, size = [*stack, value], size + 1
        if size in roots and roots[size] != _root(stack):
            sys.exit(f"FAULT: one of the records {last + 1} to {size - 1} is not what was signed")
        last = size - 1 if size in roots else last
    if dead:
        sys.exit(f"FAULT: record {min(dead)} was removed, and no purge says so")
    if not roots or max(roots) > size:
        sys.exit(f"FAULT: the log ends at record {size}, of {max(roots, default=0)} signed")
    tail = f"{_root(stack).hex()} {seen or ''}"
    sys.stdout.write(f"GOOD: {size} records, {len(roots)} checkpoints, {tail}\n")


if __name__ == "__main__":
    _main()
