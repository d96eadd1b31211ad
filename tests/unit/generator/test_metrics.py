"""What a generator counts while it writes."""

import asyncio
import json

import grpc
import pytest
from prometheus_client import REGISTRY

from generator.generation import Reading, SentenceFinished, SourceText, generate
from generator.llm import RequestFailed, Sampling, Usage
from generator.metrics import DOCUMENTS
from generator.server import running
from generator.strategies.sentence import SentenceStrategy
from generator.testing import Reply
from lift.errors import EndpointUnavailable
from lift.internal.v1 import generator_pb2 as pb
from lift.internal.v1.generator_pb2_grpc import GeneratorServiceStub
from lift.settings import GeneratorSettings, Settings

SHORT = Sampling(max_tokens=8)


def value(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0.0


def calls(outcome):
    return value("lift_generator_llm_call_seconds_count", outcome=outcome)


async def written(client, text):
    strategy = SentenceStrategy.of_request(endpoint=client, name="", pairs_per_sentence=0, custom_prompt="")
    reading = Reading([SourceText(title="Mill", text=text)], 600)
    return [event async for event in generate(reading, range(len(reading.plan)), strategy, Usage())]


async def test_pairs_are_counted_by_kind_and_what_is_not_kept_by_its_reason(asking):
    pairs = [("Who built the mill?", "Ada"), ("Who built the mill?", "Ada"), ("When was the mill built?", "in 1748")]
    reply = json.dumps({"qa_list": [{"question": question, "answer": answer} for question, answer in pairs]})
    client, _ = await asking(lambda _: Reply(text=reply))
    kept, unfit, repeated, covered, empty = (
        lambda: value("lift_generator_pairs_total", kind="written"),
        lambda: value("lift_generator_pairs_refused_total", reason="unfit"),
        lambda: value("lift_generator_pairs_refused_total", reason="repeated"),
        lambda: value("lift_generator_sentences_total", outcome="covered"),
        lambda: value("lift_generator_sentences_total", outcome="without_pair"),
    )
    before = [count() for count in (kept, unfit, repeated, covered, empty)]
    events = await written(client, "Ada built it in 1748. It burned down in 1856.")
    assert sorted(event.pairs for event in events if isinstance(event, SentenceFinished)) == [0, 2]
    grown = [count() - was for count, was in zip((kept, unfit, repeated, covered, empty), before, strict=True)]
    assert grown == [2, 2, 2, 1, 1]


async def test_a_request_is_counted_by_how_it_ended_with_its_tokens(asking):
    before = {outcome: calls(outcome) for outcome in ("answered", "failed", "unavailable")}
    tokens = value("lift_generator_llm_tokens_total", direction="completion")
    replies = iter([Reply(text="ok"), Reply(status=400), Reply(status=401)])
    client, _ = await asking(lambda _: next(replies))
    await client.complete(["Hello"], SHORT, Usage())
    with pytest.raises(RequestFailed):
        await client.complete(["Hello"], SHORT, Usage())
    with pytest.raises(EndpointUnavailable):
        await client.complete(["Hello"], SHORT, Usage())
    assert {outcome: calls(outcome) - was for outcome, was in before.items()} == dict.fromkeys(before, 1)
    assert value("lift_generator_llm_tokens_total", direction="completion") > tokens


async def test_a_request_whose_asker_has_left_is_no_failure(asking):
    never = asyncio.Event()
    client, endpoint = await asking(lambda _: Reply(waits_for=never))
    failed, left = calls("failed"), calls("left")
    asked = asyncio.create_task(client.complete(["Hello"], SHORT, Usage()))
    async with asyncio.timeout(60):
        while not endpoint.requests:  # noqa: ASYNC110 - it is another server's
            await asyncio.sleep(0.01)
    asked.cancel()
    await asyncio.wait([asked])
    assert (calls("failed"), calls("left")) == (failed, left + 1)


async def test_documents_are_in_work_while_their_stream_lasts_and_a_generator_says_so(scripted, scraped, monkeypatch):
    gate, logged = asyncio.Event(), []
    monkeypatch.setattr("generator.server.log.info", lambda _, **facts: logged.append(facts))
    endpoint = await scripted(lambda _: Reply(text="{}", waits_for=gate))
    generator = GeneratorSettings(
        endpoint=endpoint.url, port=0, retries=0, strategy="sentence", metrics_host="127.0.0.1", metrics_port=0
    )
    before = DOCUMENTS._value.get()
    async with (
        running(Settings(generator=generator)) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        documents = [pb.SourceDocument(text=text) for text in ("Ada built it.", "It burned down.")]
        stream = GeneratorServiceStub(channel).Generate(pb.GenerateRequest(documents=documents), timeout=60)
        await anext(aiter(stream))  # the plan
        said = await asyncio.to_thread(scraped, logged[0]["metrics_port"])
        assert said.value("lift_generator_documents") == before + 2
        gate.set()
        assert [event async for event in stream]
        said = await asyncio.to_thread(scraped, logged[0]["metrics_port"])
        assert said.value("lift_generator_documents") == before
