"""Merkle roots, held against RFC 9162's own recursive definition."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from schemas.merkle import MerkleTree, merkle_root


def by_definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, word for word: split at the largest power of two below n."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + by_definition(leaves[:k]) + by_definition(leaves[k:])).digest()


@given(st.lists(st.binary(max_size=12), max_size=70))
def test_the_root_is_that_of_the_definition(leaves: list[bytes]) -> None:
    assert merkle_root(leaves) == by_definition(leaves).hex()


def test_every_size_up_to_three_powers_of_two() -> None:
    tree = MerkleTree()
    leaves: list[bytes] = []
    for i in range(130):
        assert tree.root() == by_definition(leaves).hex(), f"{i} leaves"
        leaves.append(b"%d" % i)
        tree.add(leaves[-1])


def test_known_answers() -> None:
    # test vectors of Certificate Transparency's reference implementation
    leaves = [bytes.fromhex(leaf) for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
    assert merkle_root([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle_root(leaves[:1]) == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle_root(leaves[:2]) == "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    assert merkle_root(leaves) == "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"


@given(st.lists(st.binary(max_size=4), min_size=2, max_size=20, unique=True), st.data())
def test_order_and_every_leaf_count(leaves: list[bytes], data: st.DataObject) -> None:
    root = merkle_root(leaves)
    i = data.draw(st.integers(0, len(leaves) - 1))
    assert merkle_root(leaves[:i] + leaves[i + 1 :]) != root
    assert merkle_root([*leaves[:i], leaves[i] + b"\0", *leaves[i + 1 :]]) != root
    assert merkle_root(leaves[::-1]) != root


def test_a_node_cannot_pass_for_a_leaf() -> None:
    a, b = (hashlib.sha256(b"\x00" + leaf).digest() for leaf in (b"a", b"b"))
    assert merkle_root([b"a", b"b"]) != merkle_root([a + b])
