"""The tree of RFC 9162: proofs that hold for every tree (`test_vectors.py`: foreign ones)."""

import hashlib
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import LogTamperedError
from audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    check_consistency,
    check_inclusion,
    extend,
    grow,
    leaf_hash,
    node_hash,
    prove_consistency,
    prove_inclusion,
    read_frontier,
    root_of,
)
from audit.ports import NodeKey


def _hashes(count: int) -> list[bytes]:
    return [leaf_hash(str(number).encode()) for number in range(count)]


class _Nodes(dict[NodeKey, bytes]):
    """Stored nodes, and how many a proof asked for."""

    asked = 0

    def read(self, keys: Iterable[NodeKey]) -> Mapping[NodeKey, bytes]:
        wanted = list(keys)
        self.asked += len(wanted)
        return {key: self[key] for key in wanted if key in self}


def _tree(count: int) -> _Nodes:
    return _Nodes(extend(Frontier(), _hashes(count))[1])


def _plain_root(hashes: list[bytes]) -> bytes:
    """MTH as RFC 9162, 2.1.1 defines it, without any cleverness."""
    if len(hashes) < 2:
        return hashes[0] if hashes else hashlib.sha256().digest()
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return node_hash(_plain_root(hashes[:k]), _plain_root(hashes[k:]))


@given(st.integers(0, 300))
def test_root_is_that_of_the_definition(count: int) -> None:
    """The incremental root equals the recursive definition of the RFC."""
    hashes = _hashes(count)
    assert root_of(hashes) == _plain_root(hashes)
    assert root_of([]) == EMPTY_ROOT


@given(st.lists(st.integers(0, 40), max_size=6))
def test_groups_do_not_matter(groups: list[int]) -> None:
    """A tree that grows by groups of any size has the nodes of one that grows at once."""
    hashes, frontier, nodes = _hashes(sum(groups)), Frontier(), {}
    for count in groups:
        frontier, completed = extend(frontier, hashes[frontier.size : frontier.size + count])
        nodes.update(completed)
    assert nodes == _tree(sum(groups))
    assert frontier == read_frontier(sum(groups), _tree(sum(groups)).read)


@given(st.data(), st.integers(1, 300))
def test_inclusion_proof_holds_for_its_leaf_alone(data: st.DataObject, size: int) -> None:
    """A proof holds for its leaf, index and root, and for no other index or leaf."""
    index = data.draw(st.integers(0, size - 1))
    nodes, hashes = _tree(size), _hashes(size)
    proof, root = prove_inclusion(index, size, nodes.read), root_of(hashes)
    check_inclusion(hashes[index], index, size, proof, root)
    with pytest.raises(LogTamperedError):
        check_inclusion(leaf_hash(b"another"), index, size, proof, root)
    other = data.draw(st.integers(0, size).filter(lambda number: number != index))
    with pytest.raises(LogTamperedError):
        check_inclusion(hashes[index], other, size, proof, root)


@given(st.data(), st.integers(2, 300))
def test_consistency_proof_holds_for_an_extension_alone(data: st.DataObject, size: int) -> None:
    """A proof holds between a tree and its extension, and not for a changed first tree."""
    before = data.draw(st.integers(1, size - 1))
    nodes, hashes = _tree(size), _hashes(size)
    proof, root = prove_consistency(before, size, nodes.read), root_of(hashes)
    check_consistency(before, size, proof, root_of(hashes[:before]), root)
    changed = [*hashes[: before - 1], leaf_hash(b"another")]
    with pytest.raises(LogTamperedError):
        check_consistency(before, size, proof, root_of(changed), root)
    with pytest.raises(LogTamperedError):
        check_consistency(before, size, proof[:-1], root_of(hashes[:before]), root)


def test_proofs_of_a_large_tree_are_short() -> None:
    """A proof at 20,000 records has at most 15 hashes and reads at most twice as many."""
    nodes = _tree(20_000)
    for index in (0, 9_999, 19_999):
        nodes.asked = 0
        assert len(prove_inclusion(index, 20_000, nodes.read)) <= 15
        assert nodes.asked <= 30


def test_missing_node_is_found() -> None:
    """A tree with a hole gives no proof."""
    nodes = _tree(8)
    del nodes[2, 1]
    with pytest.raises(LogTamperedError, match="level 2"):
        prove_inclusion(0, 8, nodes.read)


@pytest.mark.parametrize(("first", "second"), [(0, 4), (5, 4), (-1, 4)])
def test_sizes_without_a_proof_are_refused(first: int, second: int) -> None:
    """There is no consistency proof from the empty tree, or backwards."""
    with pytest.raises(LogTamperedError):
        check_consistency(first, second, (), EMPTY_ROOT, root_of(_hashes(4)))
    with pytest.raises(ValueError, match="size1"):
        prove_consistency(first, second, _tree(4).read)


@given(st.lists(st.integers(0, 70), max_size=6))
def test_growing_by_subtrees_gives_the_same_frontier(counts: list[int]) -> None:
    """`grow` and `extend` agree, in groups of any size."""
    quick = slow = Frontier()
    start = 0
    for count in counts:
        group = _hashes(start + count)[start:]
        quick, slow, start = grow(quick, group), extend(slow, group)[0], start + count
        assert quick == slow
