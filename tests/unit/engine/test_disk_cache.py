"""What an engine makes room for comes back from the disk; what is deleted does not."""

import pytest

from lift.errors import RevisionRejected
from server.engine.disk_cache import DiskCache
from server.engine.slots import Slots

BYTES = len('{"peft_type": "LORA"}')  # of a revision of the tests' shelf


def cache(shelf, revisions: int) -> DiskCache:
    return DiskCache(shelf.prepare, max_bytes=revisions * BYTES)


async def test_what_is_kept_is_given_once_and_neither_fetched_nor_checked_again(shelf, revision):
    disk = cache(shelf, 2)
    first = await disk.take(revision("a"))
    assert (first.fetch_seconds, first.validate_seconds) == (1.0, 2.0)
    await disk.keep(first)
    again = await disk.take(revision("a"))
    assert (again.folder, again.fetch_seconds, again.validate_seconds) == (first.folder, 0.0, 0.0)
    assert (await disk.take(revision("a"))).folder != first.folder
    assert len(shelf.fetched) == 2


async def test_those_used_longest_ago_go_first_and_their_files_with_them(shelf, revision):
    disk = cache(shelf, 2)
    for name in "abc":
        await disk.keep(await disk.take(revision(name)))
    assert shelf.kept == {"b", "c"}
    await disk.keep(await disk.take(revision("b")))
    await disk.keep(await disk.take(revision("d")))
    assert shelf.kept == {"b", "d"}


async def test_without_room_nothing_is_kept(shelf, revision):
    disk = cache(shelf, 0)
    await disk.keep(await disk.take(revision("a")))
    assert shelf.kept == set()


async def test_what_is_forgotten_is_off_the_disk_and_what_is_not_there_may_be_forgotten(shelf, revision):
    disk = cache(shelf, 2)
    await disk.keep(await disk.take(revision("a")))
    await disk.forget(revision("a"))
    await disk.forget(revision("b"))
    assert shelf.kept == set()


async def test_a_tenants_revision_is_no_other_tenants(shelf, revision):
    disk = cache(shelf, 2)
    await disk.keep(await disk.take(revision("a")))
    assert (await disk.take(revision("a", tenant="other"))).ref.tenant == "other"
    assert len(shelf.fetched) == 2


@pytest.fixture
def slots(llm, shelf):
    return Slots(llm, cache(shelf, 3), capacity=1, drain_seconds=0.05)


async def test_a_revision_that_made_room_comes_back_without_the_store(slots, shelf, revision):
    for name in "abab":
        await slots.load(revision(name))
    seconds = await slots.load(revision("a"))
    assert (seconds.fetch, seconds.validate) == (0.0, 0.0)
    assert [ref.adapter for ref in shelf.fetched] == ["a", "b"]
    assert shelf.kept == {"a", "b"}


@pytest.mark.parametrize("resident", ["a", "b"])
async def test_unloading_deletes_a_revisions_files_wherever_they_are(slots, shelf, revision, resident):
    for name in ("b", "a") if resident == "a" else ("a", "b"):
        await slots.load(revision(name))
    assert await slots.unload(revision("a")) == (resident == "a")
    assert shelf.kept == {"b"}


async def test_what_an_engine_refuses_is_not_kept(slots, shelf, revision):
    shelf.damaged.add("a")
    with pytest.raises(RevisionRejected):
        await slots.load(revision("a"))
    assert shelf.kept == set()
