"""What an engine counts of loads, of who has to go, and of answers."""

from contextlib import aclosing

import pytest
from prometheus_client import REGISTRY

from lift.errors import RevisionRejected, SlotsFull
from server.engine.disk_cache import DiskCache
from server.engine.llm import Sampling
from server.engine.metrics import counted
from server.engine.slots import Slots


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def evicted(tier: str) -> float:
    return value("lift_engine_evictions_total", tier=tier)


async def test_loads_are_counted_and_failures_by_their_reason(slots, shelf, revision) -> None:
    loads, rejected = "lift_engine_load_seconds_count", {"reason": RevisionRejected.reason()}
    before = value(loads), value("lift_engine_load_failures_total", **rejected)
    await slots.load(revision("a"))
    shelf.damaged.add("b")
    with pytest.raises(RevisionRejected):
        await slots.load(revision("b"))
    after = value(loads), value("lift_engine_load_failures_total", **rejected)
    assert after == (before[0] + 1, before[1] + 1)


async def test_a_load_for_which_all_slots_are_held_is_a_failure(slots, revision) -> None:
    full = {"reason": SlotsFull.reason()}
    before = value("lift_engine_load_failures_total", **full)
    await slots.load(revision("a"))
    await slots.load(revision("b"))
    async with slots.holding(revision("a")), slots.holding(revision("b")):
        with pytest.raises(SlotsFull):
            await slots.load(revision("c"))
    assert value("lift_engine_load_failures_total", **full) == before + 1


async def test_who_makes_room_is_counted_by_where_it_left(llm, shelf, revision, until) -> None:
    disk = DiskCache(shelf.prepare, max_bytes=30)  # one of the folders, which hold 21 bytes
    slots = Slots(llm, disk, capacity=1, drain_seconds=0.05)
    before = evicted("memory"), evicted("disk")
    for name in "abc":
        await slots.load(revision(name))
    await until(lambda: len(disk) == 1)
    assert (evicted("memory"), evicted("disk")) == (before[0] + 2, before[1] + 1)
    assert 0 < disk.size_bytes <= 30


async def test_an_answer_waits_until_its_first_token_and_is_written_until_its_end(llm) -> None:
    def states() -> tuple[float, float]:
        return value("lift_engine_answers", state="waiting"), value("lift_engine_answers", state="writing")

    before = value("lift_engine_tokens_total", direction="completion")
    waiting, writing = states()
    answer = counted(llm.generate(llm.encode("one two"), Sampling(max_tokens=2), salt="", adapter=None))
    async with aclosing(answer) as deltas:
        await anext(deltas)
        assert states() == (waiting, writing + 1)
        assert [delta.finish_reason async for delta in deltas] == ["length"]
    assert states() == (waiting, writing)
    assert value("lift_engine_tokens_total", direction="completion") == before + 2


async def test_an_answer_that_is_closed_early_is_no_longer_under_way(llm) -> None:
    before = value("lift_engine_answers", state="writing")
    async with aclosing(counted(llm.generate(llm.encode("one two"), Sampling(max_tokens=9), salt=""))) as deltas:
        await anext(deltas)
    assert value("lift_engine_answers", state="writing") == before
    assert not +llm.answering
