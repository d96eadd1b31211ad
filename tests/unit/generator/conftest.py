"""A scripted LLM endpoint, and settings that point at it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from generator.llm import Endpoint
from generator.testing import Script, ScriptedEndpoint, scripted_endpoint
from lift.settings import GeneratorSettings


def settings_for(url: str, **changes: Any) -> GeneratorSettings:
    """Settings of a generator that asks this endpoint and gives up soon."""
    values = {"endpoint": url, "port": 0, "retries": 0, "request_timeout_seconds": 60.0, "concurrency": 8}
    return GeneratorSettings(**(values | changes))


@pytest.fixture
async def scripted() -> AsyncIterator[Callable[[Script], Any]]:
    """Starts a real HTTP endpoint with a script."""
    async with AsyncExitStack() as stack:

        async def start(script: Script) -> ScriptedEndpoint:
            return await stack.enter_async_context(scripted_endpoint(script))

        yield start


@pytest.fixture
async def asking(scripted: Callable[[Script], Any]) -> AsyncIterator[Callable[..., Any]]:
    """Starts an endpoint with a script and a client of it: `await asking(script, retries=1)` is (client, endpoint)."""
    async with AsyncExitStack() as stack:

        async def start(script: Script, **changes: Any) -> tuple[Endpoint, ScriptedEndpoint]:
            endpoint = await scripted(script)
            return await stack.enter_async_context(Endpoint(settings_for(endpoint.url, **changes))), endpoint

        yield start
