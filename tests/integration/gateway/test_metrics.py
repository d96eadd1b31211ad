"""What a gateway says to Prometheus, through its own address."""

import asyncio
import threading
from contextlib import suppress

import grpc
import httpx
import openai
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from lift.errors import CatalogueUnavailable
from lift.v1 import queries_pb2 as pb
from lift.values import JobKind, Quotas
from server.gateway.metrics import FRESH_SECONDS, CatalogueCollector

CHAT = [{"role": "user", "content": "When does the bell ring?"}]


@pytest.fixture
async def gateway(running):
    """A gateway that says its metrics."""
    async with running(metrics_host="127.0.0.1", metrics_port=0) as run:
        yield run


@pytest.fixture
def said(gateway, scraped):
    """await said(): what it says now."""

    async def scrape():
        return await asyncio.to_thread(scraped, gateway.ports.metrics)

    return scrape


@pytest.fixture
def requests_are(said):
    """await requests_are(number, route, status): so many are counted; they are once the client has its answer."""

    async def wait(number, route, status):
        async with asyncio.timeout(60):
            while (await said()).value("lift_http_request_seconds_count", route=route, status=status) != number:
                pass

    return wait


async def test_a_call_is_counted_with_its_method_and_code(gateway, said):
    acme, stranger = gateway.tenant("acme"), gateway.with_key("lift_wrong")
    before = await said()
    await acme.queries.Query(pb.QueryRequest(question="When?"))
    with pytest.raises(grpc.aio.AioRpcError):
        await stranger.queries.Query(pb.QueryRequest(question="When?"))
    after = await said()
    for code in ("OK", "UNAUTHENTICATED"):
        labels = {"method": "Query", "code": code}
        assert after.value("lift_grpc_call_seconds_count", **labels) == 1 + before.value(
            "lift_grpc_call_seconds_count", **labels
        )


async def test_a_request_is_counted_with_its_route_and_no_path_that_somebody_makes_up(gateway, said, requests_are):
    client = gateway.openai(gateway.key_of("acme"))
    before = await said()
    await client.chat.completions.create(model="base", messages=CHAT)
    with suppress(openai.NotFoundError):
        await client.models.retrieve("made-up-model")
    async with httpx.AsyncClient() as http:
        await http.get(f"http://127.0.0.1:{gateway.ports.http}/made-up-path")
    for route, status in (("/v1/chat/completions", "200"), ("/v1/models/{model:path}", "404"), ("", "404")):
        counted = before.value("lift_http_request_seconds_count", route=route, status=status)
        await requests_are(counted + 1, route, status)
    assert "made-up" not in (await said()).text


async def test_a_fault_of_ours_is_counted_as_one(gateway, said, requests_are, monkeypatch):
    def trips(*_, **__):
        raise ZeroDivisionError

    client = gateway.openai(gateway.key_of("acme"))
    monkeypatch.setattr(gateway.catalogue.adapters, "ready", trips)
    before = await said()
    with pytest.raises(openai.InternalServerError):
        await client.models.list()
    counted = before.value("lift_http_request_seconds_count", route="/v1/models", status="500")
    await requests_are(counted + 1, "/v1/models", "500")


async def test_tokens_and_first_tokens_of_an_answer_are_counted(gateway, said):
    before = await said()
    await gateway.tenant("acme").queries.Query(pb.QueryRequest(question="When?"))
    after = await said()
    grown = {
        direction: after.value("lift_gateway_tokens_total", direction=direction)
        - before.value("lift_gateway_tokens_total", direction=direction)
        for direction in ("prompt", "completion")
    }
    assert grown == {"prompt": 7, "completion": 3}
    first = "lift_gateway_first_token_seconds_count"
    assert after.value(first) == before.value(first) + 1


async def test_the_line_is_seen_while_it_stands_and_who_is_refused_is_counted(gateway, said, eventually):
    gateway.report(answers_at_once=1)
    gateway.engine.goes_on.clear()
    acme, other = gateway.tenant("acme"), gateway.tenant("other", Quotas(max_concurrent_queries=1))
    before = await said()
    asked = [asyncio.ensure_future(acme.queries.Query(pb.QueryRequest(question="When?")))]
    await eventually(lambda: gateway.engine.answering == 1)
    asked.append(asyncio.ensure_future(other.queries.Query(pb.QueryRequest(question="When?"))))
    while (now := await said()).value("lift_gateway_queries_waiting") < 1:
        pass
    assert now.value("lift_gateway_queries_running") == 1
    with pytest.raises(grpc.aio.AioRpcError):
        await other.queries.Query(pb.QueryRequest(question="When?"))
    gateway.engine.goes_on.set()
    await asyncio.gather(*asked)
    after = await said()
    assert after.value("lift_gateway_queries_waiting") == after.value("lift_gateway_queries_running") == 0
    refused = "lift_gateway_queries_refused_total"
    assert after.value(refused, reason="QUOTA_EXCEEDED") == 1 + before.value(refused, reason="QUOTA_EXCEEDED")


def collected(collector):
    """What one collector says, as `scraped` has it."""
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode()


@pytest.fixture
def collector(gateway):
    """Of the gateway's catalogue, with one engine that serves, one that drains and one that is silent."""
    gateway.engines.extend([gateway.engine] * 2)
    gateway.report(1)
    gateway.catalogue.nodes.drain("engine-2", True)
    collector = CatalogueCollector(gateway.catalogue, node_timeout_seconds=3600)
    yield collector
    collector.close()


async def test_engines_and_waiting_jobs_are_read_from_the_catalogue(gateway, collector):
    gateway.tenant("acme")
    gateway.training("acme", "tides")
    job = gateway.training("acme", "waves", text="Other text.")
    gateway.catalogue.leases.claim(job, JobKind.TRAIN, "trainer", 60)
    lines = collected(collector).splitlines()
    assert 'lift_gateway_engines{state="ready"} 1.0' in lines
    assert 'lift_gateway_engines{state="draining"} 1.0' in lines
    assert 'lift_gateway_engines{state="silent"} 0.0' in lines
    assert 'lift_gateway_jobs{kind="train",state="queued"} 1.0' in lines
    assert 'lift_gateway_jobs{kind="train",state="running"} 1.0' in lines
    assert 'lift_gateway_jobs{kind="delete",state="queued"} 0.0' in lines
    assert "lift_gateway_catalogue_up 1.0" in lines
    (oldest,) = [line for line in lines if line.startswith('lift_gateway_oldest_job_waiting_seconds{kind="train"}')]
    assert float(oldest.split()[1]) > 0


async def test_an_engine_that_is_silent_is_not_ready(gateway):
    collector = CatalogueCollector(gateway.catalogue, node_timeout_seconds=0)
    assert 'lift_gateway_engines{state="silent"} 1.0' in collected(collector).splitlines()
    collector.close()


@pytest.mark.parametrize("error", [CatalogueUnavailable(), ZeroDivisionError()])
async def test_a_catalogue_that_fails_does_not_fail_the_scrape(gateway, said, monkeypatch, error):
    def fails():
        raise error

    await gateway.tenant("acme").queries.Query(pb.QueryRequest(question="When?"))
    monkeypatch.setattr(gateway.catalogue.jobs, "backlog", fails)
    now = await said()
    assert now.value("lift_gateway_catalogue_up") == 0
    assert "lift_gateway_catalogue_up" in now.names
    assert not {"lift_gateway_jobs", "lift_gateway_engines"} & now.names
    assert now.value("lift_grpc_call_seconds_count", method="Query", code="OK") > 0


async def test_a_catalogue_that_hangs_does_not_hold_the_scrape(gateway, monkeypatch):
    goes_on = threading.Event()
    monkeypatch.setattr(gateway.catalogue.jobs, "backlog", goes_on.wait)
    collector = CatalogueCollector(gateway.catalogue, node_timeout_seconds=10, patience_seconds=0.01)
    assert "lift_gateway_catalogue_up 0.0" in collected(collector)
    goes_on.set()
    collector.close()


async def test_scrapes_one_after_the_other_read_the_catalogue_once(gateway, collector, statements_of, monkeypatch):
    with statements_of(gateway.catalogue) as statements:
        for _ in range(5):
            collected(collector)
        assert sum("jobs" in statement for statement in statements) == 1
        monkeypatch.setattr("server.gateway.metrics.time.monotonic", lambda: float("inf"))
        assert FRESH_SECONDS > 1
        collected(collector)
        assert sum("jobs" in statement for statement in statements) == 2


async def test_tenants_reach_no_metrics_and_metrics_name_no_tenant(gateway, said):
    secret = gateway.key_of("acme-of-all-places")
    job = gateway.training("acme-of-all-places", "tides-of-all-things")
    gateway.publish(job)
    await gateway.openai(secret).chat.completions.create(model="tides-of-all-things", messages=CHAT)
    text = (await said()).text
    assert not [name for name in ("acme-of-all-places", "tides-of-all-things", job, "d" * 64) if name in text]
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {secret}"}) as http:
        assert (await http.get(f"http://127.0.0.1:{gateway.ports.http}/metrics")).status_code == 404
