"""Turns prompts into replies of any OpenAI-compatible endpoint: one client and one bound on requests for all streams.

A request that fails is tried again with growing pauses (the openai client's own retries: connection errors, timeouts,
408, 409, 429 and 5xx). What fails for good is RequestFailed and costs one sentence; where the endpoint itself is down
it is EndpointUnavailable and ends the stream.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Self

import openai
from openai.types import Completion, CompletionChoice, CompletionUsage
from openai.types.chat import ChatCompletionMessageParam

from generator import metrics
from lift.errors import EndpointUnavailable
from lift.limits import MAX_LOGPROBS
from lift.settings import GeneratorSettings

FAILURES_THAT_MEAN_DOWN = 8
_REFUSALS = frozenset({401, 403, 404})


class RequestFailed(Exception):
    """One request failed after all retries; the message is fit to be shown."""


class ReplyBroken(RequestFailed):
    """A reply broke off while it was read, or was cut off where it became too long: it may be asked for again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a reply is written. `max_tokens` bounds it; it ends before any of `stop`."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A reply, its tokens, and their mean log-probability in nats, as the model has it without temperature.

    `first`: the likeliest tokens in the place of its first one, five at most, and theirs.
    """

    text: str
    tokens: int
    likelihood: float
    first: Mapping[str, float]


@dataclass(slots=True)
class Usage:
    """Tokens read and written, and requests answered, for one stream."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, usage: CompletionUsage | None) -> None:
        """Counts one reply; an endpoint that does not say what a reply cost counts as a request alone."""
        self.requests += 1
        if usage is not None:
            prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0  # some endpoints send null
            self.prompt_tokens += prompt
            self.completion_tokens += completion
            metrics.LLM_TOKENS.labels("prompt").inc(prompt)
            metrics.LLM_TOKENS.labels("completion").inc(completion)


class Endpoint:
    """The LLM endpoint, shared by all streams. At most `concurrency` replies are being written."""

    def __init__(self, settings: GeneratorSettings) -> None:
        self._model = settings.model
        self.writer = settings.writer
        self._client = openai.AsyncOpenAI(
            base_url=settings.endpoint,
            api_key=settings.api_key.get_secret_value() or "none",
            timeout=settings.request_timeout_seconds,
            max_retries=settings.retries,
        )
        self._concurrency = settings.concurrency
        self._room = asyncio.Semaphore(settings.concurrency)
        self._door = asyncio.Lock()
        self._failures_in_a_row = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def complete(self, prompts: Sequence[str], sampling: Sampling, usage: Usage, *, model: str = "") -> list[str]:
        """What a model writes after each prompt, that of the settings where none is named; one request for them all.

        RequestFailed, EndpointUnavailable.
        """
        return [choice.text for choice in await self._completions(prompts, sampling, usage, model)]

    async def weigh(
        self, prompts: Sequence[str], sampling: Sampling, usage: Usage, *, model: str = ""
    ) -> list[Weighed]:
        """As `complete`, with how likely the model found what it wrote, and what it could have begun with."""
        return [_weighed(choice) for choice in await self._completions(prompts, sampling, usage, model, MAX_LOGPROBS)]

    async def _completions(
        self,
        prompts: Sequence[str],
        sampling: Sampling,
        usage: Usage,
        model: str,
        logprobs: int | openai.Omit = openai.omit,
    ) -> list[CompletionChoice]:
        at_once = [prompts[at : at + self._concurrency] for at in range(0, len(prompts), self._concurrency)]
        parts = await asyncio.gather(*(self._request(part, sampling, usage, model, logprobs) for part in at_once))
        return [choice for part in parts for choice in part]

    async def _request(
        self, prompts: Sequence[str], sampling: Sampling, usage: Usage, model: str, logprobs: int | openai.Omit
    ) -> list[CompletionChoice]:
        async with self._requesting(len(prompts)):
            reply = await self._client.completions.create(
                model=model or self._model,
                prompt=prompts[0] if len(prompts) == 1 else list(prompts),  # some endpoints know no lists
                max_tokens=sampling.max_tokens,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                stop=list(sampling.stop),
                logprobs=logprobs,
            )
            choices = (isinstance(reply, Completion) and reply.choices) or ()  # the client checks no types
            found = [choice for at in range(len(prompts)) for choice in choices if choice.index == at]
            in_order = [choice.index for choice in found] == list(range(len(prompts)))
            if not in_order or not all(isinstance(choice.text, str) for choice in found):
                raise RequestFailed("the endpoint's reply does not hold a text for each prompt")
            usage.add(reply.usage)
            return found

    async def chat(
        self, messages: Sequence[ChatCompletionMessageParam], sampling: Sampling, usage: Usage
    ) -> AsyncGenerator[str]:
        """The model's reply to a conversation, piece by piece. RequestFailed, EndpointUnavailable.

        ReplyBroken: behind the last piece where there is more to the reply.
        """
        async with self._requesting():
            stream = await self._client.chat.completions.create(
                model=self._model,
                messages=messages,
                max_tokens=sampling.max_tokens,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                stream=True,
                stream_options={"include_usage": True},
            )
            cost, cut_off = None, False
            async with stream:
                try:
                    async for chunk in stream:
                        cost = chunk.usage or cost
                        cut_off |= any(choice.finish_reason == "length" for choice in chunk.choices)
                        if chunk.choices and chunk.choices[0].delta.content:
                            yield chunk.choices[0].delta.content
                except openai.APIConnectionError as error:
                    raise ReplyBroken("the endpoint's reply broke off") from error
            usage.add(cost)
        if cut_off:
            raise ReplyBroken("the endpoint's reply was cut off")

    @asynccontextmanager
    async def _requesting(self, replies: int = 1) -> AsyncIterator[None]:
        """Waits for room for so many replies; what goes wrong in the block becomes RequestFailed or the like."""
        async with self._places(replies):
            with _measured(), self._translated():
                yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except openai.APITimeoutError as error:
            raise self._failed("the endpoint did not answer in time") from error
        except openai.APIConnectionError as error:
            raise EndpointUnavailable(cause="cannot be reached") from error
        except openai.APIStatusError as error:
            if error.status_code in _REFUSALS:
                raise EndpointUnavailable(cause="refuses requests", status=error.status_code) from error
            if error.status_code < 500 and error.status_code != 429:
                raise RequestFailed(f"the endpoint answered {error.status_code}") from error
            raise self._failed(f"the endpoint answered {error.status_code}") from error
        except (openai.APIError, ValueError) as error:
            raise RequestFailed("the endpoint's reply is not one of OpenAI's API") from error
        self._failures_in_a_row = 0

    @asynccontextmanager
    async def _places(self, number: int) -> AsyncIterator[None]:
        taken = 0
        try:
            async with self._door:  # one at a time: two that hold a part each would wait for each other
                while taken < number:
                    await self._room.acquire()
                    taken += 1
            yield
        finally:
            for _ in range(taken):
                self._room.release()

    def _failed(self, why: str) -> Exception:
        """One failure is a sentence's; many in a row, with no success between them, are the endpoint's."""
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= FAILURES_THAT_MEAN_DOWN:
            return EndpointUnavailable(cause=why)
        return RequestFailed(why)


@contextmanager
def _measured() -> Iterator[None]:
    """Counts a request by how it ended; one whose asker left first counts as left."""
    began_at, outcome = time.monotonic(), "left"
    try:
        yield
        outcome = "answered"
    except RequestFailed:
        outcome = "failed"
        raise
    except EndpointUnavailable:
        outcome = "unavailable"
        raise
    finally:
        metrics.LLM_CALL_SECONDS.labels(outcome).observe(time.monotonic() - began_at)


def _weighed(choice: CompletionChoice) -> Weighed:
    found = [weight for weight in (choice.logprobs and choice.logprobs.token_logprobs) or [] if weight is not None]
    places = (choice.logprobs and choice.logprobs.top_logprobs) or [{}]
    if (choice.text and not found) or not isinstance(places[0], dict):  # the client checks no types
        raise RequestFailed("the endpoint's reply holds no log-probabilities")
    likelihood = sum(found) / len(found) if found else 0.0
    return Weighed(text=choice.text, tokens=len(found), likelihood=likelihood, first=places[0])
