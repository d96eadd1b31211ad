"""Turns a revision and the nodes into those that can be asked, and that should hold it, by rendezvous hashing.

Every gateway comes to the same answer without talking to the others, and a node that comes or goes moves only the
revisions that it takes or had.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Protocol, TypeVar

from storage.records import Node


class Holder(Protocol):
    """What can hold revisions: a node, or one that has not reported yet."""

    @property
    def id(self) -> str:
        """The node's id in the catalogue."""
        ...


H = TypeVar("H", bound=Holder)


def place(digest: str, nodes: Iterable[H], count: int) -> tuple[H, ...]:
    """The first `count` nodes in the revision's order of preference; fewer where there are fewer."""
    return tuple(sorted(nodes, key=lambda node: _weight(digest, node.id), reverse=True)[:count])


def is_alive(node: Node, silent_below_seconds: float) -> bool:
    """Whether the node has reported lately."""
    return node.silent_seconds < silent_below_seconds


def usable(nodes: Iterable[Node], *, silent_below_seconds: float, base_model_revision: str | None = None) -> list[Node]:
    """Those that can be asked and given revisions: alive, not to be drained, of the base model where one is said."""
    return [
        node
        for node in nodes
        if is_alive(node, silent_below_seconds)
        and not node.draining
        and base_model_revision in {None, node.base_model_revision}
    ]


def _weight(digest: str, node: str) -> bytes:
    return sha256(f"{digest} {node}".encode()).digest()
