"""Turns OpenAI requests for what is the engine's own into its answers: the base model, and the question writer where
there is one. The generator asks for them over the same client as any other endpoint."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from lift.errors import NotFound
from lift.ids import SYSTEM
from lift.serving.node_token import NodeToken
from server import openai_backend
from server.engine.answers import Answers, End, Question
from server.engine.llm import Adapter, Sampling
from server.pieces import Piece

BASE = "base"
DEFAULT_MAX_TOKENS = 256


class OwnModels:
    """A `Backend`: the base model under "base" and its real id, and adapters of the engine's own."""

    def __init__(self, base_model: str, adapters: Sequence[Adapter], answers: Answers, token: NodeToken) -> None:
        self._answers = answers
        self._token = token
        self._adapters = {BASE: None, base_model: None, **{adapter.name: adapter for adapter in adapters}}
        created = int(time.time())
        self._models = {id: openai_backend.Model(id=id, created=created, owned_by="lift") for id in self._adapters}

    async def admit(self, authorization: str) -> None:
        """Lets nodes in. CredentialMissing, CredentialWrong."""
        await self._token.admit(authorization)

    async def models(self) -> Sequence[openai_backend.Model]:
        """Every name."""
        return tuple(self._models.values())

    async def model(self, model: str) -> openai_backend.Model:
        """NotFound: there is none of that name."""
        if model not in self._models:
            raise NotFound(model=model[:200])
        return self._models[model]

    def answers_at_once(self) -> int:
        """As many as there is room for: the generator knows how many it asks."""
        return 0

    async def answer(self, order: openai_backend.Order) -> AsyncGenerator[Piece | openai_backend.End]:
        """Pieces, then one End. Nodes share what is cached."""
        await self.model(order.model)
        sampling = Sampling(
            max_tokens=DEFAULT_MAX_TOKENS if order.max_tokens is None else order.max_tokens,
            temperature=order.temperature,
            top_p=order.top_p,
            stop=order.stop,
            logprobs=order.logprobs,
            echo=order.echo,
        ).checked()
        own = self._adapters[order.model]
        question = Question(tenant=SYSTEM, own=own, prompt=order.prompt, sampling=sampling)
        async with aclosing(self._answers.answer(question)) as pieces:
            async for piece in pieces:
                yield _ended(piece) if isinstance(piece, End) else piece


def _ended(end: End) -> openai_backend.End:
    return openai_backend.End(
        finish_reason=end.finish_reason,
        prompt_tokens=end.prompt_tokens,
        completion_tokens=end.completion_tokens,
    )
