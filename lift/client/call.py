"""A call as a value: what both flavours of the client send, and how each turns what comes back into values."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import grpc

from lift import status
from lift.errors import GatewayUnavailable, Unavailable

T = TypeVar("T")

DEFAULT_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """A call of `method` of a stub. `request` makes what is sent: a message, or an iterator of messages.

    `read` turns a response into a value; each one of a call that streams. No limit where `timeout_seconds` is None.
    """

    stub: Callable[[Any], Any]
    method: str
    request: Callable[[], Any]
    read: Callable[[Any], T]
    timeout_seconds: float | None = DEFAULT_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a listing; `next_token` is empty on the last."""

    items: tuple[T, ...]
    next_token: str


Listing: TypeAlias = Callable[[str], Call[Page[T]]]
"""Makes the call that gets the page of a token; the first page's token is empty."""

Flow: TypeAlias = Generator[Call[Any], Any, T]
"""Several calls in turn: yields each, is sent its value or has its error thrown in, and returns the outcome."""


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Raises the errors of lift.errors in the place of gRPC's."""
    try:
        yield
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:  # of gRPC itself: no service of ours says so
            problem = "what listens there has no such service"
            raise GatewayUnavailable(address=address, problem=problem) from error
        known = status.from_call(error)
        if type(known) is Unavailable:  # gRPC's own words, not the gateway's
            raise GatewayUnavailable(address=address) from error
        raise known from error
