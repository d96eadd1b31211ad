"""Turns orders of the OpenAI API into questions to adapters: `model` is an adapter's id, or the base model."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from functools import partial

from lift.errors import AdapterMissing, MalformedName
from lift.ids import SYSTEM, checked_id
from server.gateway.answers import Answers, Question
from server.gateway.auth import TenantKeys, caller
from server.openai_backend import BASE, Model, Order
from server.pieces import End, Piece
from storage.catalogue import Catalogue


class GatewayBackend:
    """Every tenant's adapters and the base model, to OpenAI's clients."""

    def __init__(self, catalogue: Catalogue, tenant_keys: TenantKeys, answers: Answers, base_model: str) -> None:
        self._catalogue = catalogue
        self._tenant_keys = tenant_keys
        self._answers = answers
        self._base_model = base_model

    async def admit(self, authorization: str) -> None:
        """Lets a tenant in by its key. CredentialMissing, CredentialWrong."""
        await self._tenant_keys.admit(authorization)

    async def models(self) -> Sequence[Model]:
        """The base model, then the tenant's adapters that can be asked, newest first."""
        return await asyncio.to_thread(self._models, caller().id)

    async def model(self, model: str) -> Model:
        """One of them, also while it is being trained. AdapterMissing."""
        if self._is_base(model):
            return self._base()
        tenant, get = caller().id, partial(self._catalogue.adapters.get, with_documents=False)
        adapter = await asyncio.to_thread(get, tenant, _id(model))
        return _model(tenant, adapter.id, adapter.created_at)

    def answers_at_once(self) -> int:
        """The tenant's quota."""
        return caller().quotas.max_concurrent_queries

    def answer(self, order: Order) -> AsyncGenerator[Piece | End]:
        """The pieces of an answer; errors are those of `Answers.answer`."""
        question = Question(
            adapter=None if self._is_base(order.model) else _id(order.model),
            prompt=order.prompt,
            max_tokens=order.max_tokens,
            temperature=order.temperature,
            top_p=order.top_p,
            stop=order.stop,
            logprobs=order.logprobs,
            echo=order.echo,
        )
        return self._answers.answer(caller(), question)

    def _is_base(self, model: str) -> bool:
        return model in {BASE, self._base_model}

    def _base(self) -> Model:
        return Model(id=BASE, created=0, owned_by=SYSTEM)

    def _models(self, tenant: str) -> Sequence[Model]:
        return [self._base(), *(_model(tenant, *ready) for ready in self._catalogue.adapters.ready(tenant))]


def _id(model: str) -> str:
    try:
        return checked_id(model)
    except MalformedName as error:  # OpenAI's clients know one error for a model that is not there
        raise AdapterMissing(adapter=model[:80]) from error


def _model(tenant: str, adapter: str, created_at: datetime) -> Model:
    return Model(id=adapter, created=int(created_at.timestamp()), owned_by=tenant)
