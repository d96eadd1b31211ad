"""The service over real gRPC, in front of a scripted endpoint: what streams, in which order, and what ends it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import SecretStr

from generator.generation import SENTENCES_AT_ONCE
from generator.server import NAME, running
from generator.testing import Reply
from lift import errors, status
from lift.internal.v1 import generator_pb2 as pb
from lift.internal.v1.generator_pb2_grpc import GeneratorServiceStub
from lift.serving import calls
from lift.settings import MIB, GeneratorSettings, Settings

TEXT = "The mill stands on the Teasel. It was built in 1748. It burned down in 1856."


def two_pairs(body: dict[str, Any]) -> Reply:
    """Two pairs whose questions name the sentence, so that none is asked twice."""
    sentence = body["messages"][-1]["content"].rsplit("\n", 1)[-1]
    pairs = [{"question": f"{word} {sentence}?", "answer": "Ada"} for word in ("Who", "When")]
    return Reply(text=json.dumps({"qa_list": pairs}))


@asynccontextmanager
async def served(url: str, *, token: str = "", **changes: Any) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a running generator."""
    values = {"endpoint": url, "port": 0, "retries": 0, "request_timeout_seconds": 60.0, "strategy": "sentence"}
    settings = Settings(node_token=SecretStr(token), generator=GeneratorSettings(**(values | changes)))
    async with running(settings) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel


def request(*texts: str, **fields: Any) -> pb.GenerateRequest:
    """A request for documents of these texts."""
    return pb.GenerateRequest(documents=[pb.SourceDocument(title="Mill", text=text) for text in texts], **fields)


async def events_of(channel: grpc.aio.Channel, asked: pb.GenerateRequest, token: str = "") -> list[pb.GenerateResponse]:
    """All events of a stream; its error as ours."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    try:
        return [event async for event in GeneratorServiceStub(channel).Generate(asked, metadata=metadata, timeout=60)]
    except grpc.aio.AioRpcError as error:
        raise status.from_call(error) from error


async def until(true: Callable[[], bool]) -> None:
    """Waits for a condition; TimeoutError where it does not come about."""
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - what is waited for lies on the other side of a connection
            await asyncio.sleep(0.01)


def kinds(events: list[pb.GenerateResponse]) -> list[str]:
    """What happened, in order."""
    return [str(event.WhichOneof("event")) for event in events]


async def test_the_plan_comes_first_each_outcome_after_its_pairs_and_the_coverage_last(scripted):
    endpoint = await scripted(two_pairs)
    async with served(endpoint.url) as channel:
        events = await events_of(channel, request(TEXT, "Otters live there."))
    assert kinds(events)[0] == "plan"
    assert kinds(events)[-1] == "coverage"
    assert Counter(kinds(events)) == {"plan": 1, "pair": 8, "outcome": 4, "coverage": 1}
    ended: set[int] = set()
    for event in events:
        if event.WhichOneof("event") == "outcome":
            assert (event.outcome.pairs, event.outcome.error) == (2, "")
            ended.add(event.outcome.sentence_index)
        if event.WhichOneof("event") == "pair":
            assert event.pair.sentence_index not in ended
    plan = [(sentence.document, sentence.start, sentence.end) for sentence in events[0].plan.sentences]
    assert [(TEXT, "Otters live there.")[document][start:end] for document, start, end in plan][1::2] == [
        "It was built in 1748.",
        "Otters live there.",
    ]
    coverage = events[-1].coverage
    assert (coverage.sentences, coverage.covered, coverage.failed, coverage.pairs) == (4, 4, 0, 8)
    assert coverage.prompt_tokens == 40


async def test_pairs_are_sent_while_others_are_still_being_written(scripted):
    gate = asyncio.Event()

    def one_waits(body: dict[str, Any]) -> Reply:
        reply = two_pairs(body)
        waits = body["messages"][-1]["content"].endswith("stands on the Teasel.")
        return Reply(text=reply.text, waits_for=gate if waits else None)

    endpoint = await scripted(one_waits)
    async with served(endpoint.url) as channel:
        seen = []
        async for event in GeneratorServiceStub(channel).Generate(request(TEXT), timeout=60):
            seen.append(event)
            if kinds(seen).count("outcome") == 2:
                gate.set()
    assert kinds(seen).count("outcome") == 3
    assert seen[-2].outcome.sentence_index == 0


async def test_sentences_that_are_done_are_not_written_about_again(scripted):
    endpoint = await scripted(two_pairs)
    async with served(endpoint.url) as channel:
        events = await events_of(channel, request(TEXT, done_sentences=[0, 2]))
    assert {event.pair.sentence_index for event in events if event.HasField("pair")} == {1}
    assert len(events[0].plan.sentences) == 3
    assert events[-1].coverage.sentences == 1


HALF_AN_EMOJI = '{"question": "Which face was carved in 1748?", "answer": "\\ud83d"}'


@pytest.mark.parametrize(
    "bad", [Reply(status=400), Reply(text="I cannot."), Reply(text=HALF_AN_EMOJI), Reply(body=b"data: {nonsense\n\n")]
)
async def test_one_sentence_that_fails_never_stops_the_rest(scripted, bad):
    def one_fails(body: dict[str, Any]) -> Reply:
        return bad if "built in 1748" in body["messages"][-1]["content"].rsplit("\n", 1)[-1] else two_pairs(body)

    endpoint = await scripted(one_fails)
    async with served(endpoint.url) as channel:
        events = await events_of(channel, request(TEXT))
    outcomes = {event.outcome.sentence_index: event.outcome for event in events if event.HasField("outcome")}
    assert outcomes[1].error
    assert [outcomes[index].pairs for index in range(3)] == [2, 0, 2]
    assert (events[-1].coverage.failed, events[-1].coverage.covered) == (1, 2)


async def test_an_endpoint_that_is_down_ends_the_stream_as_unavailable():
    async with served("http://127.0.0.1:9/v1") as channel:
        with pytest.raises(errors.EndpointUnavailable):
            await events_of(channel, request(TEXT))


async def test_an_endpoint_that_goes_down_leaves_the_pairs_that_were_complete(scripted):
    gate = asyncio.Event()

    def later_ones_fail(body: dict[str, Any]) -> Reply:
        first = body["messages"][-1]["content"].endswith("on the Teasel.")
        return two_pairs(body) if first else Reply(status=401, waits_for=gate)

    endpoint = await scripted(later_ones_fail)
    async with served(endpoint.url) as channel:
        call = GeneratorServiceStub(channel).Generate(request(TEXT), timeout=60)
        assert kinds([await call.read() for _ in range(4)]) == ["plan", "pair", "pair", "outcome"]
        gate.set()
        assert await call.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_client_that_cancels_stops_all_work_on_its_stream(scripted):
    never = asyncio.Event()
    endpoint = await scripted(lambda _: Reply(waits_for=never))
    async with served(endpoint.url) as channel:
        call = GeneratorServiceStub(channel).Generate(request(TEXT))
        assert (await call.read()).HasField("plan")
        await until(lambda: endpoint.under_way == 3)
        call.cancel()
        await until(lambda: endpoint.under_way == 0)


async def test_a_slow_reader_holds_back_its_own_stream_only(scripted):
    endpoint = await scripted(two_pairs)
    long = " ".join(f"The wheel number {number} turns." for number in range(4000))
    async with served(endpoint.url, concurrency=4) as channel:
        slow = GeneratorServiceStub(channel).Generate(request(long))
        await slow.read()
        events = await events_of(channel, request(TEXT))
        assert kinds(events)[-1] == "coverage"
        slow.cancel()
    assert len(endpoint.requests) < 4000
    assert endpoint.most_under_way <= min(4, SENTENCES_AT_ONCE)


@pytest.mark.parametrize(
    "asked",
    [
        request(TEXT, strategy="magic"),
        request(TEXT, profile="magic"),
        request(TEXT, pairs_per_sentence=-1),
        request(TEXT, custom_prompt="no places"),
        request(TEXT, done_sentences=[3]),
        request(),
    ],
)
async def test_a_request_that_cannot_be_met_is_refused(scripted, asked):
    endpoint = await scripted(two_pairs)
    async with served(endpoint.url) as channel:
        with pytest.raises(errors.InvalidInput):
            await events_of(channel, asked)
    assert endpoint.requests == []


async def test_a_text_without_sentences_is_an_empty_plan(scripted):
    endpoint = await scripted(two_pairs)
    async with served(endpoint.url) as channel:
        assert kinds(await events_of(channel, request(""))) == ["plan", "coverage"]


async def test_a_call_must_carry_the_node_token(scripted):
    endpoint = await scripted(two_pairs)
    async with served(endpoint.url, token="secret") as channel:
        with pytest.raises(errors.CredentialMissing):
            await events_of(channel, request(TEXT))
        with pytest.raises(errors.CredentialWrong):
            await events_of(channel, request(TEXT), token="wrong")
        assert kinds(await events_of(channel, request(TEXT), token="secret"))[-1] == "coverage"


@pytest.mark.parametrize(("token", "kind"), [("", errors.CredentialMissing), ("wrong", errors.CredentialWrong)])
async def test_a_call_without_the_node_token_is_refused_before_its_request_has_come(scripted, token, kind):
    endpoint = await scripted(two_pairs)
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    async with served(endpoint.url, token="secret") as channel:
        call = channel.stream_stream(f"/{NAME}/Generate")(metadata=metadata)  # sends no request as yet
        async with asyncio.timeout(60):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await call.read()
    assert type(status.from_call(failed.value)) is kind


async def test_a_generation_has_no_deadline(scripted, monkeypatch):
    monkeypatch.setattr(calls, "DEADLINE_SECONDS", 0.0)
    endpoint = await scripted(two_pairs)
    async with served(endpoint.url) as channel:
        assert kinds(await events_of(channel, request(TEXT)))[-1] == "coverage"


async def test_a_document_of_many_megabytes_is_taken(scripted):
    endpoint = await scripted(two_pairs)
    async with served(endpoint.url) as channel:
        call = GeneratorServiceStub(channel).Generate(request("lorem " * 1_500_000))
        assert len((await call.read()).plan.sentences) > 10_000
        call.cancel()


async def test_a_request_may_be_as_long_as_a_trainer_sends_it(scripted):
    endpoint = await scripted(two_pairs)
    long = pb.GenerateRequest(documents=[pb.SourceDocument(title=" " * (65 * MIB), text="")])
    async with served(endpoint.url) as channel:
        assert kinds(await events_of(channel, long)) == ["plan", "coverage"]


async def test_it_says_that_it_is_healthy(scripted):
    endpoint = await scripted(two_pairs)
    async with served(endpoint.url) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=NAME))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_questions_about_a_section_come_with_its_last_sentence(scripted):
    endpoint = await scripted(two_pairs)
    async with served(endpoint.url) as channel:
        events = await events_of(channel, request(TEXT, strategy="sentence+sections"))
    of_sections = [event.pair for event in events if event.pair.kind == pb.Pair.KIND_SECTION]
    assert {pair.sentence_index for pair in of_sections} == {2}
    assert not any(event.outcome.error for event in events)


async def test_raw_text_comes_for_every_sentence(scripted):
    endpoint = await scripted(two_pairs)
    async with served(endpoint.url) as channel:
        events = await events_of(channel, request(TEXT, strategy="raw"))
    pairs = [event.pair for event in events if event.HasField("pair")]
    assert [pair.sentence_index for pair in pairs] == [0, 1, 2]
    assert {(pair.question, pair.kind) for pair in pairs} == {("", pb.Pair.KIND_RAW)}
    assert pairs[2].answer == TEXT
    assert events[-1].coverage.covered == 3
