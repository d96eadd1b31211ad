"""Turns a query into one page of its rows, newest first, and into the token of the next.

A token says where the page before ended (time and id), so that a page costs the same wherever it is in the listing.
"""

import base64
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Row, Select, literal, tuple_

from lift.errors import InvalidOption, MalformedPageToken
from storage.records import Page

T = TypeVar("T")

_DEFAULT_SIZE = 50
_MAX_SIZE = 1000
_ID = re.compile(r"[a-z0-9-]{1,128}")


def page_of(
    connection: Connection,
    query: Select[Any],
    order: tuple[Column[datetime], Column[str]],
    *,
    page_size: int,
    page_token: str,
    record: Callable[[Row[Any]], T],
) -> Page[T]:
    """The rows after `page_token` (from the first where it is empty), at most `page_size` (0 means 50, at most 1000).

    `order` is the query's creation time and id, which an index must have. InvalidOption, MalformedPageToken.
    """
    created_at, id_ = order
    size = _checked_size(page_size)
    if page_token:
        time, last = _parsed(page_token)
        query = query.where(tuple_(created_at, id_) < tuple_(literal(time, created_at.type), literal(last, id_.type)))
    rows = connection.execute(query.order_by(created_at.desc(), id_.desc()).limit(size + 1)).all()
    more = len(rows) > size
    rows = rows[:size]
    last_place = (getattr(rows[-1], created_at.key), getattr(rows[-1], id_.key)) if more else None
    return Page(items=tuple(map(record, rows)), next_token=_token(*last_place) if last_place else "")


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
    return min(page_size or _DEFAULT_SIZE, _MAX_SIZE)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _token(created_at: datetime, id_: str) -> str:
    place = [(created_at - _EPOCH) // timedelta(microseconds=1), id_]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _parsed(token: str) -> tuple[datetime, str]:
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        microseconds, id_ = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if type(microseconds) is int and _ID.fullmatch(id_):
            return _EPOCH + timedelta(microseconds=microseconds), id_
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise MalformedPageToken() from error
    raise MalformedPageToken()
