"""Turns OpenAI requests for the base model into answers of the engine: what the generator asks, over the same client as
any other endpoint."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from lift.errors import NotFound
from server import openai_api
from server.engine.answers import Answers, End, Question
from server.engine.llm import Sampling
from server.engine.node_token import NodeToken

BASE = "base"
DEFAULT_MAX_TOKENS = 256


class BaseModel:
    """`server.openai_api.Backend` with two names for one model: "base", and its real id."""

    def __init__(self, base_model: str, answers: Answers, token: NodeToken) -> None:
        self._answers = answers
        self._token = token
        created = int(time.time())
        self._models = {id: openai_api.Model(id=id, created=created, owned_by="lift") for id in (BASE, base_model)}

    async def authenticate(self, secret: str) -> str:
        """The caller is a node; nodes share what is cached. CredentialWrong."""
        self._token.check(secret)
        return "system"

    async def models(self, caller: str) -> Sequence[openai_api.Model]:
        """Both names."""
        return tuple(self._models.values())

    async def model(self, caller: str, model: str) -> openai_api.Model:
        """NotFound: it is neither."""
        if model not in self._models:
            raise NotFound(model=model[:200])
        return self._models[model]

    async def answer(self, order: openai_api.Order) -> AsyncGenerator[openai_api.Piece | openai_api.End]:
        """Pieces, then one End."""
        await self.model(order.caller, order.model)
        sampling = Sampling.checked(
            max_tokens=order.max_tokens or DEFAULT_MAX_TOKENS,
            temperature=order.temperature,
            top_p=order.top_p,
            stop=order.stop,
        )
        question = Question(tenant=order.caller, revision=None, prompt=order.prompt, sampling=sampling)
        async with aclosing(self._answers.answer(question)) as pieces:
            async for piece in pieces:
                yield _ended(piece) if isinstance(piece, End) else openai_api.Piece(text=piece)


def _ended(end: End) -> openai_api.End:
    return openai_api.End(
        finish_reason=end.finish_reason,
        prompt_tokens=end.prompt_tokens,
        completion_tokens=end.completion_tokens,
    )
