"""Turns a page of the catalogue into a page that one message holds."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from storage.records import Page

MAX_PAGE_BYTES = 2 << 20
"""Half of what a client takes in one message where nobody tells it otherwise."""

T = TypeVar("T")
Row = TypeVar("Row", bound=Message)


class Request(Protocol):
    """A request of a List method (AIP-158)."""

    page_size: int
    page_token: str


def each(show: Callable[[T], Row]) -> Callable[[Sequence[T]], list[Row]]:
    """Shows items one by one."""
    return lambda items: [show(item) for item in items]


async def page(
    request: Request, listed: Callable[[int, str], Page[T]], shown: Callable[[Sequence[T]], Sequence[Row]]
) -> tuple[Sequence[Row], str]:
    """The rows that a request asks for and the next token: fewer than its `page_size` where they are large, but one.

    Errors are those of `listed` and `shown`, which block.
    """
    return await asyncio.to_thread(_page, listed, shown, request.page_size, request.page_token)


def _page(
    listed: Callable[[int, str], Page[T]],
    shown: Callable[[Sequence[T]], Sequence[Row]],
    page_size: int,
    page_token: str,
) -> tuple[Sequence[Row], str]:
    """A page that is too large is listed again at the size that fits, so that its token is that of its last row."""
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
