"""Translates calls of lift.internal.v1.EngineService into loads, unloads and answers, and their results back."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

from lift.internal.v1 import engine_pb2 as pb
from lift.internal.v1 import engine_pb2_grpc
from server.engine.answers import Answers, Question
from server.engine.identity import Identity
from server.engine.llm import Sampling
from server.engine.slots import Slots
from server.pieces import End, Piece, Token
from storage.refs import of_message, to_message

TOKENS_PER_MESSAGE = 1024
"""With five likeliest beside each, of 256 bytes, still half of what a message may have."""


class EngineService(engine_pb2_grpc.EngineServiceServicer):
    """One engine's service; errors become statuses in `lift.serving.calls`."""

    def __init__(self, identity: Identity, slots: Slots, answers: Answers) -> None:
        self._identity = identity
        self._slots = slots
        self._answers = answers

    async def LoadRevision(self, request: pb.LoadRevisionRequest, context: Any) -> pb.LoadRevisionResponse:
        """Makes a revision resident."""
        seconds = await self._slots.load(of_message(request.revision))
        if seconds is None:
            return pb.LoadRevisionResponse(was_resident=True)
        return pb.LoadRevisionResponse(
            fetch_seconds=seconds.fetch, validate_seconds=seconds.validate, load_seconds=seconds.load
        )

    async def UnloadRevision(self, request: pb.UnloadRevisionRequest, context: Any) -> pb.UnloadRevisionResponse:
        """Takes a revision out."""
        return pb.UnloadRevisionResponse(was_resident=await self._slots.unload(of_message(request.revision)))

    async def Answer(self, request: pb.AnswerRequest, context: Any) -> AsyncIterator[pb.AnswerResponse]:
        """Writes an answer; a client that goes away stops it."""
        async with aclosing(self._answers.answer(_question(request))) as pieces:
            async for piece in pieces:
                for message in _messages(piece):
                    yield message

    async def GetEngine(self, request: pb.GetEngineRequest, context: Any) -> pb.GetEngineResponse:
        """Says what it serves."""
        identity = self._identity
        return pb.GetEngineResponse(
            node=identity.id,
            base_model=identity.base_model,
            base_model_revision=identity.base_model_revision,
            max_model_len=identity.max_model_len,
            max_lora_rank=identity.max_lora_rank,
            slots=identity.slots,
            resident=map(to_message, self._slots.resident),
        )


def _question(request: pb.AnswerRequest) -> Question:
    return Question(
        tenant=request.tenant,
        revision=of_message(request.revision) if request.HasField("revision") else None,
        prompt=request.prompt or tuple((turn.role, turn.content) for turn in request.turns),
        context=request.context,
        sampling=Sampling(
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            stop=tuple(request.stop),
            logprobs=request.logprobs if request.HasField("logprobs") else None,
            echo=request.echo,
        ).checked(),
    )


def _messages(piece: Piece | End) -> Iterator[pb.AnswerResponse]:
    if isinstance(piece, End):
        yield _ended(piece)
        return
    yield pb.AnswerResponse(delta=piece.text, tokens=map(_token, piece.tokens[:TOKENS_PER_MESSAGE]))
    for start in range(TOKENS_PER_MESSAGE, len(piece.tokens), TOKENS_PER_MESSAGE):
        yield pb.AnswerResponse(tokens=map(_token, piece.tokens[start : start + TOKENS_PER_MESSAGE]))


def _token(token: Token) -> pb.Token:
    return pb.Token(text=token.text, logprob=token.logprob, top=token.top)


def _ended(end: End) -> pb.AnswerResponse:
    return pb.AnswerResponse(
        end=pb.AnswerEnd(
            finish_reason=end.finish_reason,
            prompt_tokens=end.prompt_tokens,
            completion_tokens=end.completion_tokens,
            context_truncated=end.context_truncated,
            out_of_scope=end.out_of_scope,
        )
    )
