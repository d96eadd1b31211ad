"""Turns questions into the calls of QueryService, and pieces of answers into answers."""

from collections.abc import Sequence
from typing import Literal, TypedDict

from lift import values
from lift.client import reading
from lift.client.call import Call
from lift.ids import name_of
from lift.v1 import queries_pb2 as pb
from lift.v1.queries_pb2_grpc import QueryServiceStub

QUERY_SECONDS = 120.0

_ROLES = {"system": pb.Message.ROLE_SYSTEM, "user": pb.Message.ROLE_USER, "assistant": pb.Message.ROLE_ASSISTANT}
_CONTEXTS = {
    values.ContextMode.NONE: pb.CONTEXT_MODE_NONE,
    values.ContextMode.DOCUMENT: pb.CONTEXT_MODE_DOCUMENT,
}


class Asking(TypedDict, total=False):
    """How a question is asked, as keyword arguments.

    context: what the prompt holds beside the question, nothing by default; max_tokens: of the answer, the server's
    default where absent; temperature: 0, the default, is greedy; top_p: nucleus mass; stop: the answer ends before any
    of these; revision: a digest, the current one where absent; max_evidence: how many sentences to name that are behind
    the answer, none by default; timeout_seconds: of the whole answer.
    """

    context: values.ContextMode | Literal["none", "document"]
    max_tokens: int
    temperature: float
    top_p: float
    stop: Sequence[str]
    revision: str
    max_evidence: int
    timeout_seconds: float


def query(adapter: str | None, question: str | Sequence[values.Turn], asking: Asking) -> Call[values.Answer]:
    """Asks for the answer in one message."""
    request = _request(adapter, question, asking)
    return Call(
        stub=QueryServiceStub,
        method="Query",
        request=lambda: request,
        read=lambda response: reading.answer(response, response.answer),
        timeout_seconds=asking.get("timeout_seconds", QUERY_SECONDS),
    )


def stream(adapter: str | None, question: str | Sequence[values.Turn], asking: Asking) -> Call[pb.StreamQueryResponse]:
    """Asks for the answer piece by piece."""
    request = pb.StreamQueryRequest(query=_request(adapter, question, asking))
    return Call(
        stub=QueryServiceStub,
        method="StreamQuery",
        request=lambda: request,
        read=lambda response: response,
        timeout_seconds=asking.get("timeout_seconds", QUERY_SECONDS),
    )


def _request(adapter: str | None, question: str | Sequence[values.Turn], asking: Asking) -> pb.QueryRequest:
    name = name_of("adapters", adapter) if adapter else ""
    turns = () if isinstance(question, str) else question
    return pb.QueryRequest(
        adapter=name,
        question=question if isinstance(question, str) else "",
        messages=[pb.Message(role=_ROLES[turn.role], content=turn.content) for turn in turns],
        context_mode=_CONTEXTS[values.ContextMode(asking.get("context", "none"))],
        max_tokens=asking.get("max_tokens", 0),
        sampling=pb.Sampling(
            temperature=asking.get("temperature", 0.0), top_p=asking.get("top_p"), stop=asking.get("stop", ())
        ),
        revision=name_of(name, "revisions", asking["revision"]) if "revision" in asking else "",
        max_evidence=asking.get("max_evidence", 0),
    )


class Pieces:
    """Puts an answer together from its pieces."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._end: pb.QueryResponse | None = None

    def take(self, piece: pb.StreamQueryResponse) -> str:
        """The text of a piece; may be empty."""
        self._texts.append(piece.delta)
        if piece.HasField("end"):
            self._end = piece.end
        return piece.delta

    def answer(self) -> values.Answer | None:
        """The whole, once the last piece is here."""
        return None if self._end is None else reading.answer(self._end, "".join(self._texts))
