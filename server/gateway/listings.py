"""Turns a page of the catalogue into a page that one message holds."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from storage.records import Page

MAX_PAGE_BYTES = 2 << 20
"""Half of what a client takes in one message where nobody tells it otherwise."""

T = TypeVar("T")
Row = TypeVar("Row", bound=Message)


def each(show: Callable[[T], Row]) -> Callable[[Sequence[T]], list[Row]]:
    """Shows items one by one."""
    return lambda items: [show(item) for item in items]


def page(
    listed: Callable[[int, str], Page[T]],
    shown: Callable[[Sequence[T]], Sequence[Row]],
    page_size: int,
    page_token: str,
) -> tuple[Sequence[Row], str]:
    """The rows after `page_token` and the next token: fewer than `page_size` where they are large, but one. Blocks.

    A page that is too large is listed again at the size that fits, so that its token is that of its last row.
    Errors are those of `listed` and `shown`.
    """
    while True:
        found = listed(page_size, page_token)
        rows = shown(found.items)
        page_size = _fitting(rows)
        if page_size >= len(rows):
            return rows, found.next_token


def _fitting(rows: Sequence[Message]) -> int:
    """So many of the first rows fit a page, at least one."""
    left = MAX_PAGE_BYTES
    for count, row in enumerate(rows):
        left -= row.ByteSize()
        if left < 0:
            return max(count, 1)
    return max(len(rows), 1)
