"""The clients of a LIFT server: `Client` and `AsyncClient` for a tenant, `AdminClient` for an operator."""

from lift.client.administration import AdminClient
from lift.client.asynchronous import AsyncAnswerStream, AsyncClient
from lift.client.synchronous import AnswerStream, Client

__all__ = ["AdminClient", "AnswerStream", "AsyncAnswerStream", "AsyncClient", "Client"]
