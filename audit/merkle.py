"""The Merkle tree of RFC 9162, section 2.1, as pure functions.

``prove_*`` builds a proof from stored hashes, ``check_*`` holds it against roots; a
check returns nothing and raises.  Only complete subtrees are ever stored: the node
(level, index) covers the 2**level leaves that begin at index * 2**level, and does not
change once it is complete.  Every other hash is computed from those, so a proof reads
O(log n) of them.

Read next: `checkpoint.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from audit.errors import LogTamperedError
from audit.ports import NodeKey

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256().digest()
"""MTH({}) = HASH() (RFC 9162, 2.1.1)."""

ReadNodes = Callable[[Iterable[NodeKey]], Mapping[NodeKey, bytes]]


def leaf_hash(leaf: bytes) -> bytes:
    """Return MTH({d[0]}) = HASH(0x00 || d[0])."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return HASH(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The complete subtrees that a tree of ``size`` leaves consists of, left to right.

    They are the 1 bits of ``size``: 6 = 4 + 2 leaves are a subtree of 4 and one of 2.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def root(self) -> bytes:
        """Return MTH(D[size]), folding the subtrees from the right."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root


def frontier_keys(size: int) -> tuple[NodeKey, ...]:
    """Return the nodes that the frontier of a tree of ``size`` leaves consists of."""
    return tuple(_cover(0, size))


def read_frontier(size: int, read: ReadNodes) -> Frontier:
    """Return the frontier of a tree of ``size`` leaves from stored nodes.

    Raises
    ------
    LogTamperedError : a node is not stored.
    """
    keys = frontier_keys(size)
    found = _read(keys, read)
    return Frontier(size, tuple(found[key] for key in keys))


def extend(
    frontier: Frontier, leaf_hashes: Iterable[bytes]
) -> tuple[Frontier, list[tuple[NodeKey, bytes]]]:
    """Return the frontier after more leaves, and every node that became complete."""
    size, stack = frontier.size, list(frontier.hashes)
    completed: list[tuple[NodeKey, bytes]] = []
    for value in leaf_hashes:
        level, index = 0, size
        completed.append(((level, index), value))
        while index & 1:
            value = node_hash(stack.pop(), value)
            level, index = level + 1, index >> 1
            completed.append(((level, index), value))
        stack.append(value)
        size += 1
    return Frontier(size, tuple(stack)), completed


def grow(frontier: Frontier, leaf_hashes: Sequence[bytes]) -> Frontier:
    """Return the frontier after more leaves: that of `extend`, where the nodes are not wanted.

    Takes whole aligned subtrees at a time, several times as fast.
    """
    size, stack = frontier.size, list(frontier.hashes)
    at, sha256 = 0, hashlib.sha256
    while at < len(leaf_hashes):
        # The largest complete subtree that begins here and whose leaves are there.
        level = (len(leaf_hashes) - at).bit_length() - 1
        if size:
            level = min(level, (size & -size).bit_length() - 1)
        row = list(leaf_hashes[at : at + (1 << level)])
        while len(row) > 1:
            pairs = zip(row[::2], row[1::2], strict=True)
            row = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
        (value,), index = row, size >> level
        while index & 1:
            value, index = node_hash(stack.pop(), value), index >> 1
        stack.append(value)
        size, at = size + (1 << level), at + (1 << level)
    return Frontier(size, tuple(stack))


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root of a tree of these leaf hashes."""
    return extend(Frontier(), leaf_hashes)[0].root()


def prove_inclusion(index: int, size: int, read: ReadNodes) -> tuple[bytes, ...]:
    """Return PATH(index, D[size]) from stored nodes.

    PATH(m, D[n]) = PATH(m, D[0:k]) : MTH(D[k:n]) for m < k; and
    PATH(m, D[n]) = PATH(m - k, D[k:n]) : MTH(D[0:k]) for m >= k,
    k the largest power of two smaller than n (RFC 9162, 2.1.3.1).

    Raises
    ------
    ValueError : there is no such leaf in such a tree.
    LogTamperedError : a node is not stored.
    """
    if not 0 <= index < size:
        raise ValueError(f"expected a leaf index below {size}, found {index}")
    ranges: list[tuple[int, int]] = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            ranges.append((middle, stop))
            stop = middle
        else:
            ranges.append((start, middle))
            start = middle
    return _roots(ranges[::-1], read)


def prove_consistency(size1: int, size2: int, read: ReadNodes) -> tuple[bytes, ...]:
    """Return PROOF(size1, D[size2]) from stored nodes; empty for equal sizes.

    PROOF(m, D[n]) = SUBPROOF(m, D[n], true); SUBPROOF(m, D[m], true) = {},
    SUBPROOF(m, D[m], false) = {MTH(D[m])};
    SUBPROOF(m, D[n], b) = SUBPROOF(m, D[0:k], b) : MTH(D[k:n]) for m <= k; and
    SUBPROOF(m, D[n], b) = SUBPROOF(m - k, D[k:n], false) : MTH(D[0:k]) for m > k
    (RFC 9162, 2.1.4.1).

    Raises
    ------
    ValueError : not 0 < size1 <= size2.
    LogTamperedError : a node is not stored.
    """
    if not 0 < size1 <= size2:
        raise ValueError(f"expected 0 < size1 <= size2, found {size1} and {size2}")
    ranges: list[tuple[int, int]] = []
    start, stop, whole = 0, size2, True
    while stop != size1:
        middle = start + _split(stop - start)
        if size1 <= middle:
            ranges.append((middle, stop))
            stop = middle
        else:
            ranges.append((start, middle))
            start, whole = middle, False
    if not whole:
        ranges.append((start, stop))
    return _roots(ranges[::-1], read)


def check_inclusion(
    value: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Hold an inclusion proof of a leaf hash against a root (RFC 9162, 2.1.3.2).

    Raises
    ------
    LogTamperedError : the leaf is not at ``index`` of the tree that ``root`` names.
    """
    _check_hashes((value, root, *proof))
    if not 0 <= index < size:
        raise LogTamperedError(f"expected a leaf index below {size}, found {index}")
    fn, sn, r = index, size - 1, value
    for p in proof:
        if sn == 0:
            raise LogTamperedError("expected a shorter inclusion proof")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise LogTamperedError("expected a longer inclusion proof")
    if r != root:
        raise LogTamperedError(f"expected leaf {index} in the tree of size {size}, found another")


def check_consistency(
    size1: int, size2: int, proof: Sequence[bytes], root1: bytes, root2: bytes
) -> None:
    """Hold a consistency proof of two trees against their roots (RFC 9162, 2.1.4.2).

    The RFC starts from 0 < first < second.  For equal sizes the roots must be equal and
    the proof empty; from the empty tree there is no proof.

    Raises
    ------
    LogTamperedError : the larger tree does not extend the smaller one.
    """
    if size1 == size2:
        if proof or root1 != root2 or size1 < 0:
            raise LogTamperedError(f"expected one root and no proof at size {size1}")
        return
    if not 0 < size1 < size2:
        raise LogTamperedError(f"expected sizes that grow from 1, found {size1} and {size2}")
    _check_hashes((root1, root2, *proof))
    path = list(proof)
    if size1 & (size1 - 1) == 0:
        path.insert(0, root1)
    if not path:
        raise LogTamperedError("expected a longer consistency proof")
    fn, sn = size1 - 1, size2 - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            raise LogTamperedError("expected a shorter consistency proof")
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise LogTamperedError("expected a longer consistency proof")
    if fr != root1 or sr != root2:
        raise LogTamperedError(f"expected the tree of {size2} to extend the tree of {size1}")


def _split(size: int) -> int:
    """Return the largest power of two smaller than ``size`` (at least 2)."""
    return 1 << (size - 1).bit_length() - 1


def _cover(start: int, stop: int) -> list[NodeKey]:
    """Return the complete subtrees that D[start:stop] consists of, largest first.

    ``start`` is a multiple of the first one's leaves, as it is for every MTH of the RFC.
    """
    keys = []
    while start < stop:
        level = (stop - start).bit_length() - 1
        keys.append((level, start >> level))
        start += 1 << level
    return keys


def _roots(ranges: Sequence[tuple[int, int]], read: ReadNodes) -> tuple[bytes, ...]:
    covers = [_cover(start, stop) for start, stop in ranges]
    found = _read([key for cover in covers for key in cover], read)
    return tuple(Frontier(0, tuple(found[key] for key in cover)).root() for cover in covers)


def _read(keys: Sequence[NodeKey], read: ReadNodes) -> Mapping[NodeKey, bytes]:
    found = read(keys) if keys else {}
    for level, index in keys:
        if (level, index) not in found:
            raise LogTamperedError(f"expected tree node {index} of level {level}, found none")
    return found


def _check_hashes(hashes: Iterable[bytes]) -> None:
    if any(len(value) != HASH_SIZE for value in hashes):
        raise LogTamperedError(f"expected hashes of {HASH_SIZE} bytes, found another length")
