"""Asking an endpoint: retries, bounds, and what it means when it fails."""

import asyncio
import json

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
    assert await client.complete(["When was it"], SHORT, usage) == [" built in 1802?"]
    assert usage == Usage(requests=1, prompt_tokens=10, completion_tokens=3)
    assert endpoint.requests[0]["prompt"] == "When was it"
    assert set(endpoint.requests[0]) == {"model", "prompt", "max_tokens", "temperature", "top_p", "stop", "path"}


async def test_a_reply_whose_cost_is_null_is_a_reply(asking):
    body = {"choices": [{"text": " ok", "index": 0}], "usage": {"prompt_tokens": None, "completion_tokens": None}}
    client, _ = await asking(lambda _: Reply(body=json.dumps(body).encode()))
    usage = Usage()
    assert await client.complete(["Hello"], SHORT, usage) == [" ok"]
    assert usage == Usage(requests=1)


async def test_a_chat_comes_in_pieces_and_its_cost_is_counted(asking):
    client, _ = await asking(lambda _: Reply(text="one two three"))
    usage = Usage()
    assert [piece async for piece in client.chat(HELLO, SHORT, usage)] == ["one", " tw", "o t", "hre", "e"]
    assert usage.completion_tokens == 3


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_request_that_fails_once_is_tried_again(asking, status):
    replies = iter([Reply(status=status), Reply(text="ok")])
    client, _ = await asking(lambda _: next(replies), retries=1)
    assert await client.complete(["Hello"], SHORT, Usage()) == ["ok"]


@pytest.mark.parametrize(
    "reply",
    [Reply(status=500), Reply(status=400), Reply(body=b"<html>"), Reply(body=b'{"choices": []}'), Reply(body=b"[]")],
)
async def test_a_request_that_keeps_failing_costs_one_sentence(asking, reply):
    client, _ = await asking(lambda _: reply)
    with pytest.raises(RequestFailed):
        await client.complete(["Hello"], SHORT, Usage())


async def test_an_endpoint_that_hangs_runs_into_the_time_limit(asking):
    never = asyncio.Event()
    client, _ = await asking(lambda _: Reply(waits_for=never), request_timeout_seconds=0.1)
    with pytest.raises(RequestFailed, match="in time"):
        await client.complete(["Hello"], SHORT, Usage())


async def test_a_stream_that_breaks_off_may_be_asked_for_again(asking):
    client, _ = await asking(lambda _: Reply(text="one two", breaks_off=True))
    with pytest.raises(ReplyBroken):
        _ = [piece async for piece in client.chat(HELLO, SHORT, Usage())]


async def test_a_stream_that_was_cut_off_is_counted_and_may_be_asked_for_again(asking):
    client, _ = await asking(lambda _: Reply(text="one two", finish_reason="length"))
    usage = Usage()
    stream = client.chat(HELLO, SHORT, usage)
    assert "".join([await anext(stream) for _ in range(3)]) == "one two"
    with pytest.raises(ReplyBroken):
        await anext(stream)
    assert usage.completion_tokens == 2


async def test_many_failures_in_a_row_mean_that_the_endpoint_is_down(asking):
    client, _ = await asking(lambda _: Reply(status=503))
    for _ in range(FAILURES_THAT_MEAN_DOWN - 1):
        with pytest.raises(RequestFailed):
            await client.complete(["Hello"], SHORT, Usage())
    with pytest.raises(EndpointUnavailable):
        await client.complete(["Hello"], SHORT, Usage())


async def test_a_success_between_failures_means_that_it_is_up(asking):
    state = {"count": 0}

    def every_third_works(_: object) -> Reply:
        state["count"] += 1
        return Reply(text="ok") if state["count"] % 3 == 0 else Reply(status=500)

    client, _ = await asking(every_third_works)
    for _ in range(FAILURES_THAT_MEAN_DOWN):
        for _ in range(2):
            with pytest.raises(RequestFailed):
                await client.complete(["Hello"], SHORT, Usage())
        await client.complete(["Hello"], SHORT, Usage())


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_an_endpoint_that_refuses_us_is_as_good_as_down(asking, status):
    client, _ = await asking(lambda _: Reply(status=status))
    with pytest.raises(EndpointUnavailable) as caught:
        await client.complete(["Hello"], SHORT, Usage())
    assert caught.value.facts["status"] == status


async def test_an_endpoint_that_nobody_serves_is_down():
    async with Endpoint(GeneratorSettings(endpoint="http://127.0.0.1:9/v1", retries=0)) as client:
        with pytest.raises(EndpointUnavailable):
            await client.complete(["Hello"], SHORT, Usage())


async def test_at_most_so_many_requests_are_under_way(asking):
    gate = asyncio.Event()
    client, endpoint = await asking(lambda _: Reply(text="ok", waits_for=gate), concurrency=3)
    work = [asyncio.create_task(client.complete(["Hello"], SHORT, Usage())) for _ in range(9)]
    async with asyncio.timeout(60):
        while endpoint.most_under_way < 3:  # noqa: ASYNC110 - what is waited for lies on the other side of a connection
            await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*work) == [["ok"]] * 9
    assert endpoint.most_under_way == 3


async def test_several_prompts_are_one_request_whose_replies_come_in_their_order(asking):
    client, endpoint = await asking(lambda body: Reply(text=body["prompt"].upper()))
    usage = Usage()
    assert await client.complete(["one", "two"], SHORT, usage) == ["ONE", "TWO"]
    assert usage.requests == 1
    assert [reply.text for reply in await client.weigh(["one", "two"], SHORT, usage)] == ["ONE", "TWO"]
    assert await client.complete([], SHORT, usage) == []
    assert len(endpoint.requests) == 4


async def test_more_prompts_than_may_be_under_way_are_several_requests(asking):
    client, _ = await asking(lambda body: Reply(text=body["prompt"]), concurrency=2)
    usage = Usage()
    prompts = [str(number) for number in range(5)]
    assert await client.complete(prompts, SHORT, usage) == prompts
    assert usage.requests == 3


@pytest.mark.parametrize("indices", [[0], [0, 0], [None, None], [1, "0"], [0, 1, 1]])
async def test_an_endpoint_that_does_not_answer_each_of_several_prompts_has_failed(asking, indices):
    choices = [{"text": "ok", "index": index, "finish_reason": "stop"} for index in indices]
    client, _ = await asking(lambda _: Reply(body=json.dumps({"choices": choices}).encode()))
    with pytest.raises(RequestFailed, match="each prompt"):
        await client.complete(["one", "two"], SHORT, Usage())


async def test_requests_that_want_more_room_than_there_is_do_not_hold_each_other_up(asking):
    client, endpoint = await asking(lambda _: Reply(text="ok"), concurrency=4)
    work = [client.complete(["Hello"] * 3, SHORT, Usage()) for _ in range(8)]
    cancelled = asyncio.create_task(client.complete(["Hello"] * 4, SHORT, Usage()))
    async with asyncio.timeout(60):
        answering = asyncio.gather(*work)
        await asyncio.sleep(0)
        cancelled.cancel()
        assert await answering == [["ok"] * 3] * 8
        assert await client.complete(["Hello"] * 4, SHORT, Usage()) == ["ok"] * 4  # all room is free again
    assert endpoint.most_under_way == 1
