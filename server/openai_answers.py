"""Turns a backend's pieces into the bodies and the chunks of OpenAI's answers."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias

from lift import errors
from server.openai_backend import Backend, Order
from server.pieces import End, Piece, Token

Json: TypeAlias = dict[str, Any]

PROMPTS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How one endpoint writes an answer: whole, in pieces, and what comes before the first piece."""

    prefix: str
    object: str
    chunk_object: str
    whole: Callable[[str], Json]
    piece: Callable[[str], Json]
    opening: Json | None


CHAT = Format(
    prefix="chatcmpl",
    object="chat.completion",
    chunk_object="chat.completion.chunk",
    whole=lambda text: {"message": {"role": "assistant", "content": text}},
    piece=lambda text: {"delta": {"content": text} if text else {}},
    opening={"delta": {"role": "assistant", "content": ""}},
)
TEXT = Format(
    prefix="cmpl",
    object="text_completion",
    chunk_object="text_completion",
    whole=lambda text: {"text": text},
    piece=lambda text: {"text": text},
    opening=None,
)


async def whole(backend: Backend, form: Format, head: Json, orders: Sequence[Order]) -> Json:
    """The body of an answer, with a choice for each order. Errors are the backend's."""
    room = asyncio.Semaphore(min(PROMPTS_AT_ONCE, backend.answers_at_once() or PROMPTS_AT_ONCE))

    async def one(order: Order) -> tuple[Piece, End]:
        async with room:
            return await _collected(backend.answer(order))

    try:
        async with asyncio.TaskGroup() as group:
            answering = [group.create_task(one(order)) for order in orders]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    answers = [task.result() for task in answering]
    choices = [
        _choice(index, form.whole(answer.text), _logprobs(order, answer.tokens), end.finish_reason)
        for index, (order, (answer, end)) in enumerate(zip(orders, answers, strict=True))
    ]
    return {**head, "choices": choices, "usage": _usage([end for _, end in answers])}


async def _collected(pieces: AsyncGenerator[Piece | End]) -> tuple[Piece, End]:
    texts: list[str] = []
    tokens: list[Token] = []
    end: End | None = None
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, End):
                end = piece
            else:
                texts.append(piece.text)
                tokens += piece.tokens
    if end is None:
        raise errors.InternalError()
    return Piece(text="".join(texts), tokens=tuple(tokens)), end


async def chunks(
    backend: Backend, form: Format, head: Json, orders: Sequence[Order], with_usage: bool
) -> AsyncGenerator[Json]:
    """The same in chunks, one order after the other. Errors are the backend's."""
    nothing_yet: Json = {"usage": None} if with_usage else {}
    ends: list[End] = []

    def chunk(index: int, content: Json, logprobs: Json | None = None, finish_reason: str | None = None) -> Json:
        return {**head, "choices": [_choice(index, content, logprobs, finish_reason)], **nothing_yet}

    for index, order in enumerate(orders):
        opening, offset = form.opening, 0
        async with aclosing(backend.answer(order)) as pieces:
            async for piece in pieces:
                if opening:
                    yield chunk(index, opening)
                    opening = None
                if isinstance(piece, End):
                    ends.append(piece)
                    yield chunk(index, form.piece(""), finish_reason=piece.finish_reason)
                elif piece.text or piece.tokens:
                    yield chunk(index, form.piece(piece.text), _logprobs(order, piece.tokens, offset))
                    offset += sum(len(token.text) for token in piece.tokens)
    if with_usage:
        yield {**head, "choices": [], "usage": _usage(ends)}


def _choice(index: int, content: Json, logprobs: Json | None, finish_reason: str | None) -> Json:
    return {"index": index, **content, "logprobs": logprobs, "finish_reason": finish_reason}


def _logprobs(order: Order, tokens: Sequence[Token], offset: int = 0) -> Json | None:
    """Tokens as OpenAI's completions list them; `offset` is where the first of them begins in the text."""
    if order.logprobs is None:
        return None
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [dict(token.top) or None for token in tokens],
        "text_offset": list(accumulate((len(token.text) for token in tokens), initial=offset))[:-1],
    }


def _usage(ends: Sequence[End]) -> Json:
    prompt, completion = sum(end.prompt_tokens for end in ends), sum(end.completion_tokens for end in ends)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
