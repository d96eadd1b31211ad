"""`lift bench catalogue`: what calls of a gateway take while its catalogue grows; no engine and no store are needed."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import create_engine, insert, select

from benchmarks.machine import describe
from benchmarks.spread import percentile
from lift.client import AsyncClient
from lift.errors import InvalidOption
from lift.settings import GatewaySettings, Settings
from lift.values import AdapterState, JobKind, JobState, Quotas
from server.gateway.serving import serving
from storage.catalogue import Catalogue, schema
from storage.memory import MemoryObjects
from storage.records import Progress
from storage.wakeups import MemoryWakeups

TENANT = "bench"
MAX_ADAPTERS = 1_000_000
AT_ONCE = 10_000
CALLS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure: calls with so many `adapters` in the catalogue, the smaller numbers first."""

    adapters: Sequence[int]
    say: Callable[[str], None]
    calls: int = field(default=CALLS)

    def __post_init__(self) -> None:
        """InvalidOption: a number that no run can have."""
        if not self.adapters or any(not 1 <= number <= MAX_ADAPTERS for number in self.adapters):
            raise InvalidOption(option="adapters", expected=f"numbers from 1 to {MAX_ADAPTERS}")


def bench_catalogue(plan: Plan) -> dict[str, Any]:
    """The calls at each size, on SQLite: the result that `--json` prints."""
    return asyncio.run(_bench(plan))


async def _bench(plan: Plan) -> dict[str, Any]:
    found = {}
    settings = Settings(gateway=GatewaySettings(port=0, admin_port=0, http_port=0))
    with TemporaryDirectory(prefix="lift-bench-") as folder, _catalogue(Path(folder)) as (catalogue, url):
        catalogue.tenants.create(TENANT, title="Bench", quotas=Quotas())
        _, key = catalogue.keys.create(TENANT, "bench")
        async with (
            serving(settings, catalogue, MemoryObjects(), MemoryWakeups()) as ports,
            AsyncClient(f"127.0.0.1:{ports.tenants}", key) as client,
        ):
            document = (await client.documents.create("The tide bell rings.", title="Tides")).id
            for size in sorted(plan.adapters):
                await asyncio.to_thread(fill, url, size, document)
                found[str(size)] = await _calls(client, size, document, plan.calls)
                plan.say(
                    f"{size} adapters: " + ", ".join(f"{name} {ms['p50']} ms" for name, ms in found[str(size)].items())
                )
    return {"machine": describe(), "calls": plan.calls, "adapters": found}


@contextmanager
def _catalogue(folder: Path) -> Iterator[tuple[Catalogue, str]]:
    url = f"sqlite:///{folder / 'catalogue.sqlite'}"
    catalogue = Catalogue(url)
    try:
        catalogue.migrate()
        yield catalogue, url
    finally:
        catalogue.close()


async def _calls(client: AsyncClient, size: int, document: str, calls: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each kind of call, median and 99th percentile."""
    chosen = random.Random(size)  # noqa: S311 - which adapters are asked for is no secret

    async def first_page() -> None:
        await anext(aiter(client.adapters.list()))

    def an_adapter() -> str:
        return _name(chosen.randrange(size))

    kinds: dict[str, Callable[[], Awaitable[object]]] = {
        "get": lambda: client.adapters.get(an_adapter()),
        "list": first_page,
        "revisions": lambda: anext(aiter(client.adapters.revisions(an_adapter()))),
        "create": lambda: client.adapters.create([document], title="Tides"),
    }
    return {name: await _milliseconds(call, calls) for name, call in kinds.items()}


async def _milliseconds(call: Callable[[], Awaitable[object]], calls: int) -> dict[str, float]:
    await call()
    took = []
    for _ in range(calls):
        began_at = time.perf_counter()
        await call()
        took.append(1000 * (time.perf_counter() - began_at))
    return {f"p{percent}": round(percentile(took, percent), 2) for percent in (50, 99)}


def fill(url: str, size: int, document: str) -> None:
    """Brings the tenant's adapters to at least that number, each with its document, its job and its revision."""
    engine = create_engine(url)
    with engine.begin() as connection:
        named = select(schema.adapters.c.id).where(schema.adapters.c.id.startswith(_PREFIX))
        there = len(connection.execute(named).all())
        for start in range(there, size, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, size))
            for table, row in ((schema.adapters, _adapter), (schema.jobs, _job), (schema.revisions, _revision)):
                connection.execute(insert(table), [row(number, document) for number in numbers])
            links = [{"tenant": TENANT, "adapter": _name(n), "position": 0, "document": document} for n in numbers]
            connection.execute(insert(schema.adapter_documents), links)
    engine.dispose()


_PREFIX = "filled-"


def _name(number: int) -> str:
    return f"{_PREFIX}{number}"


def _adapter(number: int, _: str) -> dict[str, Any]:
    return {
        "tenant": TENANT,
        "id": _name(number),
        "title": f"Adapter {number}",
        "state": AdapterState.READY,
        "base_model": "bench",
        "current_revision": f"{number:064x}",
        "job": f"job-{number}",
        "created_at": datetime.now(UTC),
    }


def _job(number: int, document: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "id": f"job-{number}",
        "tenant": TENANT,
        "adapter": _name(number),
        "kind": JobKind.TRAIN,
        "documents": [document],
        "options": {},
        "state": JobState.SUCCEEDED,
        "reason": "",
        "attempts": 1,
        "crashes": 0,
        "progress": _PROGRESS,
        "cancel_requested": False,
        "created_at": now,
        "ended_at": now,
        "worker": "",
        "token": 1,
        "hidden": False,
    }


_PROGRESS = {name: getattr(Progress(), name) for name in ("sentences", "sentences_done", "pairs", "step", "steps")} | {
    "stage": "load",
    "loss": 0.1,
    "seconds": {},
}


def _revision(number: int, _: str) -> dict[str, Any]:
    return {
        "tenant": TENANT,
        "adapter": _name(number),
        "digest": f"{number:064x}",
        "job": f"job-{number}",
        "rank": 128,
        "size_bytes": 1,
        "base_model": "bench",
        "base_model_revision": "bench",
        "sentences": 25,
        "pairs": 250,
        "final_loss": 0.1,
        "created_at": datetime.now(UTC),
    }
