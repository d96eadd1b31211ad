"""Serves lift.v1.QueryService: answers in one message, or piece by piece."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from lift.v1 import queries_pb2 as pb
from lift.v1 import queries_pb2_grpc
from server.gateway import translate
from server.gateway.answers import Answered, Answers
from server.gateway.auth import caller


class QueryService(queries_pb2_grpc.QueryServiceServicer):
    """lift.v1.QueryService."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def Query(self, request: pb.QueryRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.QueryResponse:
        """The whole answer."""
        answer = ""
        async with aclosing(self._answers.answer(caller(), translate.question(request))) as pieces:
            async for piece in pieces:
                if isinstance(piece, Answered):
                    return translate.answered(piece, answer)
                answer += piece.text
        raise AssertionError("an answer ends with its facts")

    async def StreamQuery(
        self, request: pb.StreamQueryRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[pb.StreamQueryResponse]:
        """The answer as it is written."""
        async with aclosing(self._answers.answer(caller(), translate.question(request.query))) as pieces:
            async for piece in pieces:
                if isinstance(piece, Answered):
                    yield pb.StreamQueryResponse(end=translate.answered(piece))
                else:
                    yield pb.StreamQueryResponse(delta=piece.text)
