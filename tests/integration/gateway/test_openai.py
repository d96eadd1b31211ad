"""The OpenAI façade, through OpenAI's own client."""

import asyncio
from contextlib import suppress

import httpx
import openai
import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol

from lift.errors import EngineUnavailable
from lift.values import Quotas
from server import http_heads

CHAT = [{"role": "user", "content": "When does the bell ring?"}]


@pytest.fixture
def client(gateway):
    """A tenant's client, with one adapter that can be asked."""
    secret = gateway.key_of("acme")
    gateway.ready("acme", "tides")
    return gateway.openai(secret)


async def test_models_are_the_base_model_and_the_tenants_ready_adapters(gateway, client):
    gateway.training("acme", "fresh", text="Other text.")
    gateway.tenant("other")
    gateway.ready("other", "theirs")
    assert [model.id async for model in await client.models.list()] == ["base", "tides"]
    assert (await client.models.retrieve("tides")).owned_by == "acme"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("theirs")


async def test_models_are_listed_by_one_query_that_reads_no_documents(gateway, client, statements_of):
    gateway.ready("acme", "waves", text="Other text.")
    await client.models.list()  # from now on the key is known
    with statements_of(gateway.catalogue) as statements:
        assert [model.id async for model in await client.models.list()] == ["base", "waves", "tides"]
    read = [statement for statement in statements if "adapter" in statement]
    assert len(read) == 1
    assert not {"adapter_documents", "adapters.title"} & set(read[0].replace(",", " ").split())


async def test_a_chat_is_answered_by_the_adapter_named_as_model(gateway, client):
    reply = await client.chat.completions.create(model="tides", messages=CHAT, max_completion_tokens=9)
    assert reply.choices[0].message.content == "The tide bell."
    assert reply.choices[0].finish_reason == "stop"
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (7, 3, 10)
    asked = gateway.engine.asked[0]
    assert (asked.revision.adapter, asked.max_tokens, asked.temperature) == ("tides", 9, 0)


@pytest.mark.parametrize("model", ["base", "tiny"])
async def test_the_base_model_is_named_base_or_by_its_own_name(gateway, client, model):
    await client.chat.completions.create(model=model, messages=CHAT)
    assert not gateway.engine.asked[0].HasField("revision")


async def test_a_streamed_chat_comes_piece_by_piece_and_ends_with_its_usage(client):
    stream = await client.chat.completions.create(
        model="tides", messages=CHAT, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    text = [chunk.choices[0].delta.content for chunk in chunks[1:-2]]
    assert text == ["The ", "tide ", "bell."]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 10


async def test_a_streamed_chat_ends_with_done(gateway, client):
    body = {"model": "tides", "messages": CHAT, "stream": True}
    async with httpx.AsyncClient() as plain:
        reply = await plain.post(
            f"{client.base_url}chat/completions", json=body, headers={"authorization": f"Bearer {client.api_key}"}
        )
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["x-request-id"].startswith("request-")
    assert reply.text.endswith("data: [DONE]\n\n")


async def test_a_completion_goes_on_from_the_raw_prompt(gateway, client):
    reply = await client.completions.create(model="tides", prompt="The bell rings at", stop="\n")
    assert reply.choices[0].text == "The tide bell."
    assert (gateway.engine.asked[0].prompt, list(gateway.engine.asked[0].turns)) == ("The bell rings at", [])
    stream = await client.completions.create(model="tides", prompt="The bell", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == "The tide bell."


async def test_a_list_of_prompts_gets_an_answer_for_each(gateway, client):
    reply = await client.completions.create(model="tides", prompt=["one", "two", "three"])
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert sorted(asked.prompt for asked in gateway.engine.asked) == ["one", "three", "two"]
    assert reply.usage.completion_tokens == 9


async def test_a_list_of_more_prompts_than_a_tenant_may_ask_at_once_is_answered(gateway):
    client = gateway.openai(gateway.key_of("small", Quotas(max_concurrent_queries=2)))
    reply = await client.completions.create(model="base", prompt=["x"] * 20)
    assert [choice.text for choice in reply.choices] == ["The tide bell."] * 20


async def test_log_probabilities_and_an_echo_pass_through(gateway, client):
    reply = await client.completions.create(model="tides", prompt="So, ", logprobs=2, echo=True)
    asked, (choice,) = gateway.engine.asked[0], reply.choices
    assert (asked.HasField("logprobs"), asked.logprobs, asked.echo) == (True, 2, True)
    assert choice.text == "So, The tide bell."
    assert choice.logprobs.tokens == ["So, ", "The ", "tide ", "bell."]
    assert choice.logprobs.text_offset == [0, 4, 8, 13]
    first, *others = choice.logprobs.token_logprobs
    assert first is None
    assert others == pytest.approx([-0.1] * 3)
    assert others == [max(top.values()) for top in choice.logprobs.top_logprobs[1:]]


async def test_an_echo_alone_asks_for_no_token(gateway, client):
    reply = await client.completions.create(model="base", prompt="So, ", logprobs=0, echo=True, max_tokens=0)
    assert (gateway.engine.asked[0].max_tokens, gateway.engine.asked[0].logprobs) == (0, 0)
    assert (reply.choices[0].text, reply.usage.completion_tokens) == ("So, ", 0)


async def test_no_log_probabilities_are_asked_for_unasked(gateway, client):
    reply = await client.completions.create(model="tides", prompt="So, ")
    assert (gateway.engine.asked[0].HasField("logprobs"), gateway.engine.asked[0].echo) == (False, False)
    assert reply.choices[0].logprobs is None


async def test_harmless_fields_are_taken(client):
    await client.chat.completions.create(
        model="tides", messages=CHAT, n=1, user="u", presence_penalty=0, frequency_penalty=0.0, seed=1, logprobs=False
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("logprobs", True),
        ("presence_penalty", 0.5),
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("response_format", {"type": "json_object"}),
        ("temperature", 3),
        ("top_p", 0),
        ("max_tokens", 0),
        ("stop", list("abcde")),
        ("model", ""),
        ("messages", []),
        ("messages", [{"role": "assistant", "content": "Hi"}]),
        ("messages", [{"role": "tool", "content": "Hi", "tool_call_id": "x"}]),
    ],
)
async def test_what_cannot_be_honoured_is_refused_and_named(gateway, client, field, value):
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(**{"model": "tides", "messages": CHAT, field: value})
    assert refused.value.param == field
    assert refused.value.type == "invalid_request_error"
    assert gateway.engine.asked == []


async def test_an_unknown_field_a_seeded_sample_and_token_ids_are_refused(client):
    for create, body in (
        (client.chat.completions.create, {"messages": CHAT, "extra_body": {"top_k": 3}}),
        (client.chat.completions.create, {"messages": CHAT, "seed": 1, "temperature": 1}),
        (client.completions.create, {"prompt": [1, 2, 3]}),
        (client.completions.create, {"prompt": "x", "logprobs": 6}),
        (client.completions.create, {"prompt": "x", "max_tokens": 0}),
        (client.completions.create, {"prompt": ["x"] * 129}),
    ):
        with pytest.raises(openai.BadRequestError):
            await create(model="tides", **body)


async def test_errors_have_openais_shape(gateway, client):
    gateway.training("acme", "fresh", text="Other text.")
    for stream in (False, True):
        with pytest.raises(openai.NotFoundError) as missing:
            await client.chat.completions.create(model="No such model!", messages=CHAT, stream=stream)
        assert missing.value.code == "model_not_found"
        with pytest.raises(openai.ConflictError) as training:
            await client.chat.completions.create(model="fresh", messages=CHAT, stream=stream)
        assert training.value.code == "adapter_training"
        with pytest.raises(openai.BadRequestError) as long:
            await client.chat.completions.create(
                model="tides", messages=[{"role": "user", "content": "x" * 32_001}], stream=stream
            )
        assert long.value.code == "context_length_exceeded"


@pytest.mark.parametrize("secret", ["lift_wrong", "operator-key"])
async def test_a_wrong_key_is_refused_everywhere(gateway, secret):
    client = gateway.openai(secret)
    for call in (
        client.models.list(),
        client.models.retrieve("base"),
        client.chat.completions.create(model="base", messages=CHAT),
        client.completions.create(model="base", prompt="x"),
    ):
        with pytest.raises(openai.AuthenticationError):
            await call


async def test_bodies_that_are_no_requests_are_refused(gateway, client):
    headers = {"authorization": f"Bearer {client.api_key}"}
    async with httpx.AsyncClient(base_url=str(client.base_url), headers=headers) as plain:
        for content in (b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"model": "tides"}'):
            assert (await plain.post("chat/completions", content=content)).status_code == 400
        large = await plain.post("chat/completions", content=b" " * (5 << 20))
        assert large.status_code == 413
        unknown = await plain.get("nothing")
        assert unknown.status_code == 404
        assert unknown.json()["error"]["type"] == "invalid_request_error"
        without_key = await plain.post("chat/completions", content=b"", headers={"authorization": ""})
        assert without_key.status_code == 401


@pytest.mark.parametrize("line", [b"x: " + b"a" * 1000 + b"\r\n", b"a" * 1000], ids=["many headers", "one header"])
async def test_headers_without_end_are_refused_before_they_fill_the_memory(gateway, line):
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.ports.http)
    writer.write(b"GET /v1/models HTTP/1.1\r\nhost: x\r\ny: ")
    with suppress(ConnectionError):  # what was sent and not read resets the connection
        for _ in range(1000):
            writer.write(line)
            await writer.drain()
        async with asyncio.timeout(60):
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()


@pytest.mark.parametrize("asked", [False, True], ids=["first request", "second request"])
async def test_a_head_that_does_not_come_ends_the_connection(gateway, monkeypatch, asked):
    monkeypatch.setattr(http_heads, "HEAD_SECONDS", 0.5)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.ports.http)
    if asked:
        writer.write(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"}}")
    writer.write(b"GET /v1/models HTTP/1.1\r\n")
    ended = asyncio.create_task(reader.read())
    async with asyncio.timeout(60):
        with suppress(ConnectionError):  # what is sent to a closed connection resets it
            while not ended.done():
                writer.write(b"x: y\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
            assert await ended == b""
    assert ended.done()
    writer.close()


async def test_an_answer_may_take_longer_than_a_head(gateway, client, monkeypatch):
    monkeypatch.setattr(http_heads, "HEAD_SECONDS", 0.2)
    gateway.engine.waits_before = 1
    gateway.engine.goes_on.clear()
    asking = asyncio.create_task(client.chat.completions.create(model="tides", messages=CHAT))
    await asyncio.sleep(0.6)
    gateway.engine.goes_on.set()
    assert (await asking).choices[0].message.content


async def test_a_connection_is_kept_for_the_next_request(gateway, client, monkeypatch):
    peers = []
    connected = H11Protocol.connection_made
    monkeypatch.setattr(
        H11Protocol, "connection_made", lambda self, transport: (peers.append(self), connected(self, transport))
    )
    for streamed in (False, True):
        reply = await client.chat.completions.create(model="tides", messages=CHAT, stream=streamed)
        assert not streamed or [chunk async for chunk in reply]
    await client.models.list()
    assert len(peers) == 1


async def test_a_client_that_leaves_stops_the_engine(gateway, client, eventually):
    gateway.engine.waits_before = 1
    gateway.engine.goes_on.clear()
    stream = await client.chat.completions.create(model="tides", messages=CHAT, stream=True)
    async for _ in stream:
        break
    assert gateway.engine.answering == 1
    await stream.close()
    await eventually(lambda: gateway.engine.answering == 0)
    with pytest.raises(openai.APITimeoutError):
        await client.with_options(timeout=0.3).chat.completions.create(model="tides", messages=CHAT)
    await eventually(lambda: gateway.engine.answering == 0)


async def test_an_answer_that_breaks_off_says_so_in_the_stream(gateway, client):
    gateway.engine.fails, gateway.engine.fails_after = EngineUnavailable(), 1
    stream = await client.chat.completions.create(model="tides", messages=CHAT, stream=True)
    with pytest.raises(openai.APIError, match="No engine"):
        async for _ in stream:
            pass


async def test_a_client_that_reads_slowly_is_told_in_the_stream_that_its_time_is_over(running, eventually):
    async with running(query_timeout_seconds=3) as gateway:
        client = gateway.openai(gateway.key_of("acme"))
        gateway.engine.words = ["x" * 10_000] * 5_000
        stream = await client.chat.completions.create(model="base", messages=CHAT, stream=True)
        await anext(aiter(stream))
        await eventually(lambda: gateway.engine.answering == 0)
        with pytest.raises(openai.APIError, match="deadline"):
            async for _ in stream:
                pass


async def test_a_quota_is_a_rate_limit(gateway, eventually):
    client = gateway.openai(gateway.key_of("small", Quotas(max_concurrent_queries=1)))
    gateway.engine.goes_on.clear()
    held = asyncio.ensure_future(client.chat.completions.create(model="base", messages=CHAT))
    await eventually(lambda: gateway.engine.answering == 1)
    with pytest.raises(openai.RateLimitError) as refused:
        await client.chat.completions.create(model="base", messages=CHAT)
    assert refused.value.code == "quota_exceeded"
    gateway.engine.goes_on.set()
    await held
