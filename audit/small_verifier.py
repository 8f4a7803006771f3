"""Check an audit log: verify_log.py BUNDLE --key KEY [--anchor NOTE_FILE ...] [--witness KEY ...]

Python 3.9, standard library, no line of the suite.  At each signed checkpoint (C2SP signed-note,
RFC 8032) the Merkle root (RFC 9162, 2.1.1) of the records is the signed one; none is missing or
purged without an order.  Anchors and witnesses find a log that was cut or written anew.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
import zipfile
from pathlib import Path

P = 2**255 - 19  # RFC 8032, 5.1
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
Point = tuple[int, int, int, int]
GY = 4 * pow(5, P - 2, P) % P
GX = 0x216936D3CD6E53FEC0A4E231FDD6DC5C692CC7609525A7B2C9562D608F25D51A
GROUND: Point = (GX, GY, 1, GX * GY % P)


def add(p: Point, q: Point) -> Point:
    """Return the sum of two points in extended coordinates (RFC 8032, 5.1.4)."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar: int, point: Point) -> Point:
    """Return scalar times point."""
    result: Point = (0, 1, 1, 0)
    for bit in bin(scalar)[2:]:
        result = add(result, result)
        result = add(result, point) if bit == "1" else result
    return result


def point_of(data: bytes) -> Point | None:
    """Return the point of 32 bytes (RFC 8032, 5.1.3), None where they are none."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    x = x * pow(2, (P - 1) // 4, P) % P if (v * x * x + u) % P == 0 else x
    if len(data) != 32 or y >= P or (v * x * x - u) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether an Ed25519 signature holds (RFC 8032, 5.1.7)."""
    a, r = point_of(public), point_of(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or len(signature) != 64 or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    p, q = multiply(s, GROUND), add(r, multiply(k, a))
    return (p[0] * q[2] - q[0] * p[2]) % P == (p[1] * q[2] - q[1] * p[2]) % P == 0


def read_key(text: str) -> tuple[str, bytes, bytes, bool]:
    """Return (name, key id, public key, of a witness?) of a key's text, or of a file with it."""
    name, key_id, content = (text if "+" in text else Path(text).read_text()).strip().split("+", 2)
    data = base64.b64decode(content)
    expected = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
    if data[:1] not in (b"\x01", b"\x04") or len(data) != 33 or expected.hex() != key_id:
        sys.exit("FAULT: the public key is malformed")
    return name, expected, data[1:], data[0] == 4


def read_note(note: str, key: tuple[str, bytes, bytes, bool]) -> tuple[int, bytes]:
    """Return (size, root) of a checkpoint that a log signed or a witness cosigned, else zeros."""
    text, _, lines = note.rpartition("\n\n")
    size, root = [*text.split("\n"), "", ""][1:3]
    ours = [line.split(" ")[-1] for line in lines.splitlines() if f"\u2014 {key[0]} " in line]
    marks = [mark[4:] for mark in map(base64.b64decode, ours) if mark[:4] == key[1]]
    for mark in marks:  # C2SP signed-note and tlog-cosignature: 8 bytes of time before it
        head = f"cosignature/v1\ntime {int.from_bytes(mark[:8], 'big')}\n" if key[3] else ""
        if not signed(key[2], f"{head}{text}\n".encode(), mark[8 * key[3] :]):
            sys.exit(f"FAULT: checkpoint {size}: the signature of {key[0]} is wrong")
    return (int(size), base64.b64decode(root)) if marks else (0, b"")


def root_of(stack: list[bytes]) -> bytes:
    """Return the Merkle tree hash of complete subtrees, left to right."""
    root = stack[-1] if stack else hashlib.sha256().digest()
    for left in reversed(stack[:-1]):
        root = hashlib.sha256(b"\x01" + left + root).digest()
    return root


def main() -> None:
    """Check the bundle that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("--key", required=True, help="public key as text, or a file with it")
    parser.add_argument("--anchor", action="append", default=[], help="file with a checkpoint")
    parser.add_argument("--witness", action="append", default=[], help="key of a cosigner")
    given = parser.parse_args()
    key, archive = read_key(given.key), zipfile.ZipFile(given.bundle)
    names = [n for n in archive.namelist() if n.startswith(("checkpoints/", "witness/"))]
    notes = [archive.read(n).decode() for n in names] + [Path(p).read_text() for p in given.anchor]
    roots: dict[int, bytes] = {}
    for note in notes:
        size, root = read_note(note, key)
        if not root or not note.startswith(f"{key[0]}\n"):
            sys.exit(f"FAULT: checkpoint {size}: the signature of {key[0]} is missing or wrong")
        if roots.setdefault(size, root) != root:
            sys.exit(f"FAULT: two trees of {size} records are signed: forked before record {size}")
    seen = {w[0]: max(read_note(n, w)[0] for n in notes) for w in map(read_key, given.witness)}
    if not all(seen.values()):
        sys.exit(f"FAULT: not every witness cosigned a checkpoint of this log: {seen}")
    stack, dead, size, last, kept = list[bytes](), set[int](), 0, -1, archive.open("hashes.bin")
    for line in archive.open("records.ndjson"):
        value, fact = hashlib.sha256(b"\x00" + line[:-1]).digest(), json.loads(line)
        if fact.get("schema") == "osteon.audit.tombstone/1":
            value = bytes.fromhex(fact["leaf_hash"])
            dead.add(size)
        if line[-1:] != b"\n" or kept.read(32) != value or "event_id" not in fact:
            sys.exit(f"FAULT: record {size} is not what its hash says")
        if fact["kind"] == "purge" and "body" in fact:
            body, mark = fact["body"], base64.b64decode(fact["body"].pop("signature"))[4:]
            text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
            order = f"osteon.purge/1\n{hashlib.sha256(text.encode()).hexdigest()}\n"
            if signed(key[2], order.encode(), mark):
                dead -= {n for first, end in body["leaves"] for n in range(first, end + 1)}
        index = size
        while index & 1:
            value, index = hashlib.sha256(b"\x01" + stack.pop() + value).digest(), index >> 1
        stack, size = [*stack, value], size + 1
        if size in roots and roots[size] != root_of(stack):
            sys.exit(f"FAULT: one of the records {last + 1} to {size - 1} is not what was signed")
        last = size - 1 if size in roots else last
    if dead:
        sys.exit(f"FAULT: record {min(dead)} was removed, and no purge says so")
    if not roots or max(roots) > size:
        sys.exit(f"FAULT: the log ends at record {size}, of {max(roots, default=0)} signed")
    tail = f"{root_of(stack).hex()} {seen or ''}"
    sys.stdout.write(f"GOOD: {size} records, {len(roots)} checkpoints, {tail}\n")


if __name__ == "__main__":
    main()
