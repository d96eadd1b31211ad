"""Turns OpenAI requests for what is the engine's own into its answers: the base model, and the question writer where
there is one. The generator asks for them over the same client as any other endpoint."""

import time
from collections.abc import AsyncGenerator, Sequence

from lift.errors import NotFound
from lift.ids import SYSTEM
from lift.serving.node_token import NodeToken
from server.engine.answers import Answers, Question
from server.engine.llm import Adapter, Sampling
from server.openai_backend import BASE, Model, Order
from server.pieces import End, Piece

DEFAULT_MAX_TOKENS = 256


class OwnModels:
    """A `Backend`: the base model under "base" and its real id, and adapters of the engine's own."""

    def __init__(self, base_model: str, adapters: Sequence[Adapter], answers: Answers, token: NodeToken) -> None:
        self._answers = answers
        self._token = token
        self._adapters = {BASE: None, base_model: None, **{adapter.name: adapter for adapter in adapters}}
        created = int(time.time())
        self._models = {id: Model(id=id, created=created, owned_by="lift") for id in self._adapters}

    async def admit(self, authorization: str) -> None:
        """Lets nodes in. CredentialMissing, CredentialWrong."""
        await self._token.admit(authorization)

    async def models(self) -> Sequence[Model]:
        """Every name."""
        return tuple(self._models.values())

    async def model(self, model: str) -> Model:
        """NotFound: there is none of that name."""
        return self._named(model)

    def answers_at_once(self) -> int:
        """As many as there is room for: the generator knows how many it asks."""
        return 0

    def answer(self, order: Order) -> AsyncGenerator[Piece | End]:
        """Pieces, then one End. Nodes share what is cached."""
        own = self._adapters[self._named(order.model).id]
        sampling = Sampling(
            max_tokens=DEFAULT_MAX_TOKENS if order.max_tokens is None else order.max_tokens,
            temperature=order.temperature,
            top_p=order.top_p,
            stop=order.stop,
            logprobs=order.logprobs,
            echo=order.echo,
        ).checked()
        return self._answers.answer(Question(tenant=SYSTEM, own=own, prompt=order.prompt, sampling=sampling))

    def _named(self, model: str) -> Model:
        if model not in self._models:
            raise NotFound(model=model[:200])
        return self._models[model]
