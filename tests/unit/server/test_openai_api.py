"""How log-probabilities and echoes look to OpenAI's clients and to lm-eval. The backend follows a script."""

import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from typing import Any

import httpx
import openai
import pytest
import structlog
from structlog.testing import capture_logs

from server.openai_api import openai_app
from server.openai_backend import Model, Order
from server.pieces import End, Piece, Token

PROMPT, ANSWER, ENDING = ("The", " bell"), (" rings", " at", " noon"), "<|end|>"
RIVAL = " sinks"
LIKELY, UNLIKELY = -0.25, -2.5


def token(text: str, likeliest: int) -> Token:
    """A token that is less likely than its rival where it speaks of noon."""
    logprob, rival = (UNLIKELY, LIKELY) if text == " noon" else (LIKELY, UNLIKELY)
    return Token(text=text, logprob=logprob, top={text: logprob} | ({RIVAL: rival} if likeliest else {}))


class Listed(list[Model]):
    """Remembers which thread goes through it."""

    read_by: threading.Thread | None = None

    def __iter__(self) -> Iterator[Model]:
        self.read_by = threading.current_thread()
        return super().__iter__()


class Script:
    """Goes on from any prompt with the same answer, as an engine would."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.listed = Listed([Model(id="tides", created=0, owned_by="key")])

    async def admit(self, authorization: str) -> None:
        assert authorization == "Bearer key"

    async def models(self) -> Sequence[Model]:
        return self.listed

    async def model(self, model: str) -> Model:
        return Model(id=model, created=0, owned_by="key")

    def answers_at_once(self) -> int:
        return 0

    async def answer(self, order: Order) -> AsyncGenerator[Piece | End]:
        self.orders.append(order)
        told = order.logprobs is not None
        if order.echo:
            first, *others = PROMPT
            yield Piece(
                text="".join(PROMPT),
                tokens=(Token(text=first), *(token(text, order.logprobs or 0) for text in others)) if told else (),
            )
        texts = [*ANSWER, ENDING][: order.max_tokens]
        for text in texts:
            tokens = (token(text, order.logprobs or 0),) if told else ()
            yield Piece(text="" if text == ENDING else text, tokens=tokens)
        ended = "stop" if ENDING in texts else "length"
        yield End(finish_reason=ended, prompt_tokens=len(PROMPT), completion_tokens=len(texts))


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def client(script) -> AsyncIterator[openai.AsyncOpenAI]:
    transport = httpx.ASGITransport(app=openai_app(script))
    async with openai.AsyncOpenAI(
        base_url="http://here/v1", api_key="key", max_retries=0, http_client=httpx.AsyncClient(transport=transport)
    ) as client:
        yield client


async def completed(client: openai.AsyncOpenAI, **fields: Any) -> Any:
    return await client.completions.create(**{"model": "tides", "prompt": "The bell", **fields})


def likelihood(choice: Any, context_tokens: int) -> tuple[float, bool]:
    """As lm-eval reads it: of what stands between the context and the one token written, and whether it is greedy."""
    logprobs = choice["logprobs"]["token_logprobs"][context_tokens:-1]
    likeliest = [max(top.values()) for top in choice["logprobs"]["top_logprobs"][context_tokens:-1]]
    return sum(logprobs), logprobs == likeliest


async def test_lm_eval_finds_how_likely_a_continuation_is(client) -> None:
    reply = (await completed(client, prompt=["The bell"] * 3, echo=True, logprobs=1, max_tokens=1, seed=1234)).to_dict()
    for index, choice in enumerate(reply["choices"]):
        assert choice["index"] == index
        assert likelihood(choice, 1) == (LIKELY, True)
        assert [len(values) for values in choice["logprobs"].values()] == [3, 3, 3, 3]


async def test_lm_eval_sees_that_a_continuation_is_not_the_likeliest(client) -> None:
    reply = (await completed(client, echo=True, logprobs=1, max_tokens=4)).to_dict()
    assert likelihood(reply["choices"][0], 4) == (UNLIKELY, False)


async def test_an_echo_begins_with_the_prompt_whose_first_token_has_no_log_probability(client) -> None:
    (choice,) = (await completed(client, echo=True, logprobs=1, max_tokens=1)).choices
    assert choice.text == "The bell rings"
    assert choice.logprobs.tokens == ["The", " bell", " rings"]
    assert choice.logprobs.token_logprobs == [None, LIKELY, LIKELY]
    assert choice.logprobs.top_logprobs[0] is None
    assert choice.logprobs.top_logprobs[1] == {" bell": LIKELY, RIVAL: UNLIKELY}


async def test_an_echo_alone_has_the_prompts_tokens_and_costs_no_others(client) -> None:
    reply = await completed(client, echo=True, logprobs=1, max_tokens=0)
    assert reply.choices[0].text == "The bell"
    assert reply.choices[0].logprobs.tokens == ["The", " bell"]
    assert reply.choices[0].finish_reason == "length"
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (2, 0)


@pytest.mark.parametrize("echo", [False, True])
async def test_offsets_are_characters_of_the_text_and_what_ends_it_stands_behind(client, echo) -> None:
    (choice,) = (await completed(client, logprobs=0, echo=echo)).choices
    *inside, ending = zip(choice.logprobs.tokens, choice.logprobs.text_offset, strict=True)
    assert all(choice.text[offset:].startswith(text) for text, offset in inside)
    assert ending == (ENDING, len(choice.text))
    assert choice.finish_reason == "stop"


async def test_with_no_likeliest_a_token_stands_alone(client) -> None:
    (choice,) = (await completed(client, logprobs=0, max_tokens=1)).choices
    assert choice.logprobs.top_logprobs == [{" rings": LIKELY}]


async def test_a_stream_carries_the_log_probabilities_of_its_pieces(client) -> None:
    chunks = [chunk async for chunk in await completed(client, logprobs=1, echo=True, stream=True)]
    (whole,) = (await completed(client, logprobs=1, echo=True)).choices
    choices = [chunk.choices[0] for chunk in chunks]
    assert "".join(choice.text for choice in choices) == whole.text
    for field in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        streamed = [value for choice in choices if choice.logprobs for value in getattr(choice.logprobs, field)]
        assert streamed == getattr(whole.logprobs, field)


async def test_nothing_is_said_of_tokens_where_nobody_asks(client, script) -> None:
    (choice,) = (await completed(client)).choices
    assert (choice.text, choice.logprobs) == (" rings at noon", None)
    await client.chat.completions.create(model="tides", messages=[{"role": "user", "content": "When?"}])
    assert [(order.logprobs, order.echo) for order in script.orders] == [(None, False), (None, False)]


@pytest.mark.parametrize(
    ("field", "value"), [("logprobs", 6), ("logprobs", -1), ("logprobs", True), ("max_tokens", 0), ("echo", "loudly")]
)
async def test_what_cannot_be_honoured_is_refused_and_named(client, script, field, value) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await completed(client, **{field: value})
    assert refused.value.param == field
    assert script.orders == []


async def test_the_log_has_the_reason_of_a_call_that_was_refused(client) -> None:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logged:
        await completed(client)
        with pytest.raises(openai.BadRequestError):
            await completed(client, max_tokens=0)
    ended = [(line["status"], line.get("reason")) for line in logged if line["event"] == "request_ended"]
    assert ended == [(200, None), (400, "invalid_option")]


async def test_models_are_written_down_where_no_other_call_waits_for_it(client, script) -> None:
    assert [model.id async for model in await client.models.list()] == ["tides"]
    assert script.listed.read_by not in {None, threading.current_thread()}
