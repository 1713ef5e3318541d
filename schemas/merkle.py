"""Merkle roots over a stage's results (RFC 9162, section 2.1: leaves and nodes are hashed under different prefixes)."""

import hashlib
from collections.abc import Iterable


class MerkleTree:
    """A root built leaf by leaf in O(log n) memory: it keeps one hash for each full subtree seen so far.

    The caller adds leaves in their final order (by document, then ordinal): the order is part of the root.
    """

    def __init__(self) -> None:
        self._subtrees: list[tuple[int, bytes]] = []  # (height, hash), heights strictly falling

    def add(self, leaf: bytes) -> None:
        node, height = hashlib.sha256(b"\x00" + leaf).digest(), 0
        while self._subtrees and self._subtrees[-1][0] == height:
            _, left = self._subtrees.pop()
            node, height = _parent(left, node), height + 1
        self._subtrees.append((height, node))

    def root(self) -> str:
        """64 hex digits; of no leaves, the hash of nothing."""
        if not self._subtrees:
            return hashlib.sha256().hexdigest()
        node = self._subtrees[-1][1]
        for _, left in reversed(self._subtrees[:-1]):
            node = _parent(left, node)
        return node.hex()


def merkle_root(leaves: Iterable[bytes]) -> str:
    """The root over `leaves` in the order given, 64 hex digits."""
    tree = MerkleTree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root()


def _parent(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
