"""Who is in, who has to go, and in which order a revision leaves."""

import asyncio
from contextlib import aclosing

import pytest

from lift.errors import EngineUnavailable, RevisionNotResident, RevisionRejected, SlotsFull
from server.engine.disk_cache import DiskCache
from server.engine.llm import Sampling
from server.engine.slots import Slots


async def test_a_loaded_revision_can_be_held(slots, revision) -> None:
    seconds = await slots.load(revision("a"))
    assert (seconds.fetch, seconds.validate) == (1.0, 2.0)
    async with slots.holding(revision("a")) as slot:
        assert slot.adapter.name == f"acme/a/{'a' * 8}"
    assert slots.resident == (revision("a"),)


async def test_a_revision_that_was_never_loaded_cannot_be_held(slots, revision) -> None:
    with pytest.raises(RevisionNotResident):
        async with slots.holding(revision("a")):
            pass


async def test_a_second_load_does_nothing(slots, shelf, revision) -> None:
    await slots.load(revision("a"))
    assert await slots.load(revision("a")) is None
    assert shelf.fetched == [revision("a")]


async def test_loads_of_one_revision_at_a_time_share_one(slots, llm, shelf, revision) -> None:
    await asyncio.gather(*(slots.load(revision("a")) for _ in range(5)))
    assert len(shelf.fetched) == len(llm.added) == 1


async def test_a_load_goes_on_when_the_first_who_asked_has_gone(slots, revision, shelf, until) -> None:
    first = asyncio.create_task(slots.load(revision("a")))
    second = asyncio.create_task(slots.load(revision("a")))
    await until(lambda: bool(shelf.fetched))
    first.cancel()
    assert await second is not None
    assert slots.resident == (revision("a"),)


async def test_the_revision_used_longest_ago_makes_room(slots, shelf, llm, revision) -> None:
    await slots.load(revision("a"))
    await slots.load(revision("b"))
    async with slots.holding(revision("a")):
        pass
    await slots.load(revision("c"))
    assert slots.resident == (revision("a"), revision("c"))
    assert shelf.kept == {"a", "c"}
    assert len(await llm.resident()) == 2


async def test_a_held_revision_never_makes_room(slots, revision) -> None:
    await slots.load(revision("a"))
    await slots.load(revision("b"))
    async with slots.holding(revision("a")):
        await slots.load(revision("c"))
        assert slots.resident == (revision("a"), revision("c"))


async def test_when_all_are_held_there_is_no_room_and_nothing_is_fetched(slots, shelf, revision) -> None:
    await slots.load(revision("a"))
    await slots.load(revision("b"))
    async with slots.holding(revision("a")), slots.holding(revision("b")):
        with pytest.raises(SlotsFull):
            await slots.load(revision("c"))
    assert len(shelf.fetched) == 2
    await slots.load(revision("c"))


async def test_more_loads_at_once_than_slots_leave_as_many_as_fit(slots, llm, shelf, revision) -> None:
    await asyncio.gather(*(slots.load(revision(name)) for name in "abcdef"))
    assert len(slots.resident) == len(await llm.resident()) == len(shelf.kept) == 2


async def test_an_adapter_that_fails_to_load_leaves_nothing_behind(slots, llm, shelf, revision) -> None:
    shelf.damaged = {"a"}
    with pytest.raises(RevisionRejected):
        await slots.load(revision("a"))
    assert slots.resident == ()
    assert await llm.resident() == frozenset()
    assert shelf.kept == set()


async def test_numbers_of_adapters_are_never_used_again(slots, llm, shelf, revision) -> None:
    shelf.damaged = {"a"}
    for _ in range(2):
        with pytest.raises(RevisionRejected):
            await slots.load(revision("a"))
    shelf.damaged = set()
    await slots.load(revision("a"))
    await slots.unload(revision("a"))
    await slots.load(revision("a"))
    numbers = [adapter.number for adapter in llm.added]
    assert len(set(numbers)) == len(numbers) == 4


async def test_two_tenants_adapters_of_one_name_are_two(slots, llm, revision) -> None:
    await slots.load(revision("a"))
    await slots.load(revision("a", tenant="other"))
    assert len({adapter.name for adapter in llm.added}) == 2
    assert len({adapter.folder for adapter in llm.added}) == 2


async def test_unloading_waits_for_the_answers_under_way(llm, shelf, revision, until) -> None:
    slots = Slots(llm, DiskCache(shelf.prepare, max_bytes=0), capacity=2, drain_seconds=30)
    await slots.load(revision("a"))
    async with slots.holding(revision("a")):
        unloading = asyncio.create_task(slots.unload(revision("a")))
        await until(lambda: not slots.resident)
        with pytest.raises(RevisionNotResident):
            async with slots.holding(revision("a")):
                pass
        assert shelf.kept == {"a"}
        assert len(await llm.resident()) == 1
    assert await unloading
    assert shelf.kept == set()
    assert await llm.resident() == frozenset()


async def test_an_answer_that_does_not_end_in_time_is_aborted(slots, llm, shelf, revision, until) -> None:
    await slots.load(revision("a"))
    llm.paused = True
    reasons = []

    async def ask() -> None:
        async with slots.holding(revision("a")) as slot:
            tokens = llm.encode("what is the tide")
            writing = llm.generate(tokens, Sampling(max_tokens=9), salt="", adapter=slot.adapter)
            async with aclosing(writing) as deltas:
                async for delta in deltas:
                    reasons.append(delta.finish_reason)

    asking = asyncio.create_task(ask())
    await until(lambda: bool(reasons))
    assert await slots.unload(revision("a"))
    await asking
    assert reasons == ["", "abort"]
    assert shelf.kept == set()


async def test_unloading_what_is_not_there_says_so(slots, revision) -> None:
    assert not await slots.unload(revision("a"))


async def test_a_load_that_comes_while_its_revision_leaves_waits_and_loads_anew(slots, shelf, revision, until) -> None:
    await slots.load(revision("a"))
    async with slots.holding(revision("a")):
        unloading = asyncio.create_task(slots.unload(revision("a")))
        await until(lambda: not slots.resident)
        loading = asyncio.create_task(slots.load(revision("a")))
        await asyncio.sleep(0)
        assert len(shelf.fetched) == 1
    await unloading
    assert await loading is not None
    assert len(shelf.fetched) == 2


async def test_a_dead_engine_is_reported_as_unavailable(slots, llm, revision) -> None:
    llm.dead = True
    with pytest.raises(EngineUnavailable):
        await slots.load(revision("a"))


async def test_a_revision_that_drains_does_not_make_others_wait_where_an_idle_one_can_go(
    llm, shelf, revision, until
) -> None:
    slots = Slots(llm, DiskCache(shelf.prepare, max_bytes=0), capacity=2, drain_seconds=30)
    await slots.load(revision("a"))
    await slots.load(revision("b"))
    async with slots.holding(revision("a")):
        unloading = asyncio.create_task(slots.unload(revision("a")))
        await until(lambda: revision("a") not in slots.resident)
        async with asyncio.timeout(20):
            await slots.load(revision("c"))
        assert slots.resident == (revision("c"),)
        assert not unloading.done()
    assert await unloading
