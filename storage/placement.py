"""Turns a revision and the living nodes into the nodes that should hold it, by rendezvous hashing.

Every gateway comes to the same answer without talking to the others, and a node that comes or goes moves only the
revisions that it takes or had.
"""

from collections.abc import Iterable
from hashlib import sha256

from storage.records import Node


def place(digest: str, nodes: Iterable[Node], count: int) -> tuple[Node, ...]:
    """The first `count` nodes in the revision's order of preference; fewer where there are fewer."""
    return tuple(sorted(nodes, key=lambda node: _weight(digest, node.id), reverse=True)[:count])


def _weight(digest: str, node: str) -> bytes:
    return sha256(f"{digest} {node}".encode()).digest()
