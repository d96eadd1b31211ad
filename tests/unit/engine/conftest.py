"""Revisions without a store, and slots on the in-memory engine."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lift.template import PromptTemplate
from server.engine.disk_cache import DiskCache
from server.engine.loading import Prepared
from server.engine.memory import MemoryLLM
from server.engine.slots import Slots
from storage.records import RevisionRef
from storage.scope import Scope


def revision(name: str, tenant: str = "acme") -> RevisionRef:
    return RevisionRef(tenant=tenant, adapter=name, digest=name * 8)


@pytest.fixture(name="revision")
def revision_fixture() -> Callable[..., RevisionRef]:
    return revision


@dataclass
class Shelf:
    """Writes the folders that a store would fill; those of `damaged` adapters hold nothing that loads."""

    folder: Path
    damaged: set[str] = field(default_factory=set)
    fetched: list[RevisionRef] = field(default_factory=list)
    scope: Scope | None = None

    async def prepare(self, ref: RevisionRef) -> Prepared:
        self.fetched.append(ref)
        folder = self.folder / f"{ref.adapter}-{len(self.fetched)}"
        folder.mkdir()
        content = "damaged" if ref.adapter in self.damaged else json.dumps({"peft_type": "LORA"})
        (folder / "adapter_config.json").write_text(content)
        template = PromptTemplate.named("plain")
        return Prepared(
            ref=ref, folder=folder, template=template, scope=self.scope, fetch_seconds=1.0, validate_seconds=2.0
        )

    @property
    def kept(self) -> set[str]:
        return {folder.name.partition("-")[0] for folder in self.folder.iterdir()}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture
def llm() -> MemoryLLM:
    return MemoryLLM()


@pytest.fixture
def slots(llm: MemoryLLM, shelf: Shelf) -> Slots:
    return Slots(llm, DiskCache(shelf.prepare, max_bytes=0), capacity=2, drain_seconds=0.05)


async def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Lets others run until a condition holds; the test fails where it does not come about in time."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - conditions of parts that announce nothing
            await asyncio.sleep(0)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Awaitable[None]]:
    return until
