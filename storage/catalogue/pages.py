"""Turns a query into one page of its rows and into the token of the next.

A token says where the page before ended, so that a page costs the same wherever it is in the listing.
"""

import base64
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Column, ColumnElement, Connection, Row, Select, literal, select, tuple_, union_all

from lift.errors import InvalidOption, MalformedPageToken
from storage.catalogue.schema import UtcTime
from storage.records import Page

T = TypeVar("T")

_DEFAULT_SIZE = 50
MAX_SIZE = 1000


def page_of(
    connection: Connection,
    query: Select[Any],
    order: Sequence[Column[Any]],
    *,
    page_size: int,
    page_token: str,
    record: Callable[[Row[Any]], T],
    ascending: bool = False,
    parts: Sequence[ColumnElement[bool]] = (),
) -> Page[T]:
    """The rows after `page_token` (from the first where it is empty), at most `page_size` (0 means 50, at most 1000).

    `order`: the query's creation time and id, or its id alone, which an index must have; the newest first, or, where
    `ascending`, the oldest. `parts`: conditions of which each row that is wanted meets one, where the index has order
    only within each of them; all rows where there is none. InvalidOption, MalformedPageToken.
    """
    size = _checked_size(page_size)
    if page_token:
        here, place = tuple_(*order), tuple_(*_place(page_token, order))
        query = query.where(here > place if ascending else here < place)

    def first(rows: Select[Any], by: Sequence[ColumnElement[Any]]) -> Select[Any]:
        return rows.order_by(*(column.asc() if ascending else column.desc() for column in by)).limit(size + 1)

    if parts:
        firsts = union_all(*(first(query.where(part), order).subquery().select() for part in parts)).subquery()
        query = first(select(firsts), [firsts.c[column.key] for column in order])
    else:
        query = first(query, order)
    rows = connection.execute(query).all()
    last = [getattr(rows[size - 1], column.key) for column in order] if len(rows) > size else None
    return Page(items=tuple(map(record, rows[:size])), next_token=_token(last) if last else "")


def page_at(items: Sequence[T], page_size: int, page_token: str) -> Page[T]:
    """The items after those of the page before, for a listing that never changes. InvalidOption, MalformedPageToken."""
    size = _checked_size(page_size)
    if page_token and not re.fullmatch(r"[0-9]{1,9}", page_token):
        raise MalformedPageToken()
    start = int(page_token or 0)
    end = start + size
    return Page(items=tuple(items[start:end]), next_token=str(end) if end < len(items) else "")


def _checked_size(page_size: int) -> int:
    if page_size < 0:
        raise InvalidOption(option="page_size", value=page_size)
    return min(page_size or _DEFAULT_SIZE, MAX_SIZE)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _token(place: Sequence[datetime | str]) -> str:
    """Values of a row, times as microseconds since 1970."""
    kept = [(part - _EPOCH) // timedelta(microseconds=1) if isinstance(part, datetime) else part for part in place]
    return base64.urlsafe_b64encode(json.dumps(kept).encode()).decode().rstrip("=")


def _place(token: str, order: Sequence[Column[Any]]) -> list[BindParameter[Any]]:
    """The values of a token, as `order` compares them. MalformedPageToken."""
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        kept = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        kinds = [int if isinstance(column.type, UtcTime) else str for column in order]
        if not isinstance(kept, list) or [type(part) for part in kept] != kinds:
            raise MalformedPageToken()
        return [literal(_value(part), column.type) for part, column in zip(kept, order, strict=True)]
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise MalformedPageToken() from error


def _value(kept: int | str) -> datetime | str:
    if isinstance(kept, int):
        return _EPOCH + timedelta(microseconds=kept)
    if not kept.isprintable():
        raise MalformedPageToken()
    return kept
