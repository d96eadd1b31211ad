"""Asking an endpoint: retries, bounds, and what it means when it fails."""

import asyncio

import pytest

from generator.llm import FAILURES_THAT_MEAN_DOWN, Endpoint, ReplyBroken, RequestFailed, Sampling, Usage
from generator.testing import Reply
from lift.errors import EndpointUnavailable
from lift.settings import GeneratorSettings

SHORT = Sampling(max_tokens=8, stop=("\n",))
HELLO = [{"role": "user", "content": "Hello"}]


async def test_a_prompt_is_completed_with_a_small_set_of_fields_and_its_cost_is_counted(asking):
    client, endpoint = await asking(lambda _: Reply(text=" built in 1802?"))
    usage = Usage()
    assert await client.complete("When was it", SHORT, usage) == " built in 1802?"
    assert usage == Usage(requests=1, prompt_tokens=10, completion_tokens=3)
    assert set(endpoint.requests[0]) == {"model", "prompt", "max_tokens", "temperature", "top_p", "stop", "path"}


async def test_a_chat_comes_in_pieces_and_its_cost_is_counted(asking):
    client, _ = await asking(lambda _: Reply(text="one two three"))
    usage = Usage()
    assert [piece async for piece in client.chat(HELLO, SHORT, usage)] == ["one", " tw", "o t", "hre", "e"]
    assert usage.completion_tokens == 3


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_request_that_fails_once_is_tried_again(asking, status):
    replies = iter([Reply(status=status), Reply(text="ok")])
    client, _ = await asking(lambda _: next(replies), retries=1)
    assert await client.complete("Hello", SHORT, Usage()) == "ok"


@pytest.mark.parametrize(
    "reply",
    [Reply(status=500), Reply(status=400), Reply(body=b"<html>"), Reply(body=b'{"choices": []}'), Reply(body=b"[]")],
)
async def test_a_request_that_keeps_failing_costs_one_sentence(asking, reply):
    client, _ = await asking(lambda _: reply)
    with pytest.raises(RequestFailed):
        await client.complete("Hello", SHORT, Usage())


async def test_an_endpoint_that_hangs_runs_into_the_time_limit(asking):
    never = asyncio.Event()
    client, _ = await asking(lambda _: Reply(waits_for=never), request_timeout_seconds=0.1)
    with pytest.raises(RequestFailed, match="in time"):
        await client.complete("Hello", SHORT, Usage())


async def test_a_stream_that_breaks_off_may_be_asked_for_again(asking):
    client, _ = await asking(lambda _: Reply(text="one two", breaks_off=True))
    with pytest.raises(ReplyBroken):
        _ = [piece async for piece in client.chat(HELLO, SHORT, Usage())]


async def test_many_failures_in_a_row_mean_that_the_endpoint_is_down(asking):
    client, _ = await asking(lambda _: Reply(status=503))
    for _ in range(FAILURES_THAT_MEAN_DOWN - 1):
        with pytest.raises(RequestFailed):
            await client.complete("Hello", SHORT, Usage())
    with pytest.raises(EndpointUnavailable):
        await client.complete("Hello", SHORT, Usage())


async def test_a_success_between_failures_means_that_it_is_up(asking):
    state = {"count": 0}

    def every_third_works(_: object) -> Reply:
        state["count"] += 1
        return Reply(text="ok") if state["count"] % 3 == 0 else Reply(status=500)

    client, _ = await asking(every_third_works)
    for _ in range(FAILURES_THAT_MEAN_DOWN):
        for _ in range(2):
            with pytest.raises(RequestFailed):
                await client.complete("Hello", SHORT, Usage())
        await client.complete("Hello", SHORT, Usage())


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_an_endpoint_that_refuses_us_is_as_good_as_down(asking, status):
    client, _ = await asking(lambda _: Reply(status=status))
    with pytest.raises(EndpointUnavailable) as caught:
        await client.complete("Hello", SHORT, Usage())
    assert caught.value.facts["status"] == status


async def test_an_endpoint_that_nobody_serves_is_down():
    async with Endpoint(GeneratorSettings(endpoint="http://127.0.0.1:9/v1", retries=0)) as client:
        with pytest.raises(EndpointUnavailable):
            await client.complete("Hello", SHORT, Usage())


async def test_at_most_so_many_requests_are_under_way(asking):
    gate = asyncio.Event()
    client, endpoint = await asking(lambda _: Reply(text="ok", waits_for=gate), concurrency=3)
    work = [asyncio.create_task(client.complete("Hello", SHORT, Usage())) for _ in range(9)]
    async with asyncio.timeout(5):
        while endpoint.most_under_way < 3:  # noqa: ASYNC110 - what is waited for lies on the other side of a connection
            await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*work) == ["ok"] * 9
    assert endpoint.most_under_way == 3
