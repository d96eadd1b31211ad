"""Starting again: real revisions, a real validation process and a real catalogue, on the in-memory engine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from lift.values import JobKind, Quotas
from server.engine.memory import MemoryLLM
from server.engine.serving import serving
from storage import keys
from storage.base_model import identify
from storage.catalogue import Catalogue
from storage.catalogue.database import now
from storage.files import WEIGHTS
from storage.placement import place
from storage.records import Node, Revision, RevisionRef

ADAPTERS = ("bakery", "ferry", "mill")


@pytest.fixture
def catalogue(tmp_path) -> Any:
    catalogue = Catalogue(f"sqlite:///{tmp_path / 'lift.sqlite'}")
    catalogue.migrate()
    catalogue.tenants.create("acme", title="", quotas=Quotas())
    yield catalogue
    catalogue.close()


@pytest.fixture(params=[timedelta(), timedelta(hours=1)], ids=["clocks agree", "clocks differ"])
def catalogue_clock(request, monkeypatch) -> None:
    """The catalogue's clock, right or behind this machine's."""
    monkeypatch.setattr("storage.catalogue.nodes.now", lambda connection: now(connection) - request.param)


@pytest.fixture
def press(tmp_path, make_press) -> Any:
    return make_press(tmp_path / "press")


@pytest.fixture
def served(catalogue, press) -> tuple[RevisionRef, ...]:
    """Current revisions of three adapters, oldest first."""
    return tuple(current(catalogue, press, adapter) for adapter in ADAPTERS)


def current(catalogue: Catalogue, press: Any, adapter: str) -> RevisionRef:
    ref = press.publish(adapter, seed=ADAPTERS.index(adapter))
    document = catalogue.documents.create(
        "acme", title=adapter, media_type="text/plain", sha256=ref.digest, size_bytes=1, put=lambda _: None
    )
    _, job = catalogue.adapters.create(
        "acme", id=adapter, title="", documents=[document.id], base_model=str(press.base_model), options={}
    )
    revision = Revision(
        ref=ref,
        job=job.id,
        rank=8,
        size_bytes=1,
        base_model=str(press.base_model),
        base_model_revision=identify(press.base_model),
        sentences=1,
        pairs=1,
        final_loss=0.1,
        created_at=datetime.now(UTC),
    )
    catalogue.leases.publish(catalogue.leases.claim(job.id, JobKind.TRAIN, "worker", 60), revision)
    return ref


@pytest.fixture
def engine(tmp_path, catalogue, press, make_settings) -> Any:
    """Starts a node on a new in-memory engine."""

    @asynccontextmanager
    async def start(node: str = "engine-1", **options: Any) -> AsyncIterator[str]:
        here = {"node": node, "address": f"{node}:1", "slots": len(ADAPTERS)}
        settings = make_settings(tmp_path / "state", **{**here, **options})
        parts = {"catalogue": catalogue, "base_model": press.base_model}
        async with serving(settings, MemoryLLM(), **parts, base_model_revision=identify(press.base_model)):
            yield node

    return start


async def test_an_engine_that_begins_beside_another_of_its_name_says_so(engine, catalogue, wait_until) -> None:
    with capture_logs() as logged:
        async with engine():
            await asyncio.to_thread(wait_until, lambda: len(catalogue.nodes.list()) == 1)
            async with engine("engine-2"):
                await asyncio.to_thread(wait_until, lambda: len(catalogue.nodes.list()) == 2)
            assert not [line for line in logged if line["event"] == "node_name_taken"]
            async with engine(address="elsewhere:1"):
                await asyncio.to_thread(wait_until, lambda: any(line["event"] == "node_name_taken" for line in logged))


async def test_a_new_node_takes_the_newest_revisions(engine, catalogue, served, wait_until) -> None:
    async with engine(slots=2) as node:
        await asyncio.to_thread(wait_until, lambda: set(catalogue.nodes.residents(node)) == set(served[1:]))


async def test_a_node_says_how_many_adapters_it_has_room_for_and_holds(
    engine, catalogue, served, wait_until, scraped
) -> None:
    with capture_logs() as logged:
        async with engine(slots=2, metrics_host="127.0.0.1", metrics_port=0) as node:
            await asyncio.to_thread(wait_until, lambda: len(catalogue.nodes.residents(node)) == 2)
            (port,) = (line["metrics_port"] for line in logged if line["event"] == "engine_started")
            said = await asyncio.to_thread(scraped, port)
    assert said.value("lift_engine_slots") == said.value("lift_engine_adapters", tier="memory") == 2
    assert said.value("lift_engine_adapters", tier="disk") == said.value("lift_engine_disk_cache_bytes") == 0
    assert not [ref for ref in served if ref.digest in said.text or ref.adapter in said.text]


@pytest.mark.usefixtures("catalogue_clock")
async def test_new_nodes_share_the_revisions_by_placement(engine, catalogue, served, wait_until) -> None:
    def filled() -> bool:
        nodes = catalogue.nodes.list()
        return all(set(catalogue.nodes.residents(node.id)) >= assigned(node, nodes) for node in nodes)

    def assigned(node: Node, nodes: Any) -> set[RevisionRef]:
        return {ref for ref in served if place(ref.digest, nodes, 1)[0].id == node.id}

    async with engine("engine-1"):
        await asyncio.to_thread(wait_until, lambda: len(catalogue.nodes.residents("engine-1")) == 3)
        async with engine("engine-2"):
            await asyncio.to_thread(wait_until, lambda: len(catalogue.nodes.list()) == 2)
            await asyncio.to_thread(wait_until, filled)
            mine = assigned(catalogue.nodes.list()[1], catalogue.nodes.list())
            assert set(catalogue.nodes.residents("engine-2")) == mine


async def test_nodes_of_another_base_model_have_no_share(engine, catalogue, served, wait_until) -> None:
    others = {"base_model": "tiny", "base_model_revision": "another", "slots": 3, "answers_at_once": 64, "resident": ()}
    for number in range(2, 12):  # too many to leave all three to engine-1, were they counted
        catalogue.nodes.report(f"engine-{number}", address="", **others)
    async with engine("engine-1") as node:
        await asyncio.to_thread(wait_until, lambda: set(catalogue.nodes.residents(node)) == set(served))


async def test_a_restarted_node_reloads_what_it_served(engine, catalogue, served, wait_until) -> None:
    """Which is less here than a new node would take, so that the two can be told apart."""
    before = {
        "address": "engine-1:1",
        "base_model": "tiny",
        "base_model_revision": "r",
        "slots": 3,
        "answers_at_once": 64,
    }
    catalogue.nodes.report("engine-1", **before, resident=served[:1])
    async with engine("engine-1") as node:
        await asyncio.to_thread(wait_until, lambda: catalogue.nodes.list()[0].base_model != "tiny")
        await asyncio.to_thread(wait_until, lambda: catalogue.nodes.residents(node) == served[:1])
        await asyncio.to_thread(wait_until, lambda: catalogue.nodes.list()[0].resident == 1)


async def test_a_revision_that_fails_does_not_keep_the_others_out(engine, catalogue, press, served, wait_until) -> None:
    press.objects.put(keys.revision(served[1], WEIGHTS), b"damaged")
    async with engine() as node:
        await asyncio.to_thread(wait_until, lambda: set(catalogue.nodes.residents(node)) == {served[0], served[2]})
