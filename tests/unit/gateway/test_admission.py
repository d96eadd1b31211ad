"""The line in front of the engines: fair, bounded, and never stuck."""

import asyncio

import pytest

from lift.errors import QueueFull
from server.gateway.admission import Admission


class Crowd:
    """Queries that hold their place until they are told to let go, in the order in which they got it."""

    def __init__(self, admission, room):
        self.admission = admission
        self.room = room
        self.entered = []
        self._release = {}

    def comes(self, name, tenant):
        self._release[name] = asyncio.Event()
        return asyncio.create_task(self._query(name, tenant))

    async def goes(self, name):
        self._release[name].set()
        await settled()

    async def _query(self, name, tenant):
        async with self.admission.admitted(tenant, self.room):
            self.entered.append(name)
            await self._release[name].wait()


async def settled():
    """Lets every task run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_tenants_take_turns_however_many_queries_each_has_in_the_line():
    crowd = Crowd(Admission(max_waiting=10), room=1)
    busy, quiet = "busy", "quiet"
    tasks = [crowd.comes(name, busy) for name in ("b1", "b2", "b3")]
    await settled()
    tasks.append(crowd.comes("q1", quiet))
    for name in ("b1", "b2", "q1", "b3"):
        await settled()
        await crowd.goes(name)
    await asyncio.gather(*tasks)
    assert crowd.entered == ["b1", "b2", "q1", "b3"]


async def test_no_more_run_than_may():
    crowd = Crowd(Admission(max_waiting=10), room=2)
    tasks = [crowd.comes(str(n), "t") for n in range(3)]
    await settled()
    assert crowd.entered == ["0", "1"]
    await crowd.goes("1")
    assert crowd.entered == ["0", "1", "2"]
    for name in "02":
        await crowd.goes(name)
    await asyncio.gather(*tasks)


async def test_a_full_line_refuses_who_comes():
    crowd = Crowd(Admission(max_waiting=1), room=1)
    tasks = [crowd.comes(name, "t") for name in ("first", "second")]
    await settled()
    with pytest.raises(QueueFull):
        await crowd.comes("third", "t")
    for name in ("first", "second"):
        await crowd.goes(name)
    await asyncio.gather(*tasks)


async def test_a_tenant_that_fills_the_line_makes_room_for_another():
    crowd = Crowd(Admission(max_waiting=3), room=1)
    greedy = [crowd.comes(name, "greedy") for name in ("g1", "g2", "g3", "g4")]
    await settled()
    modest = crowd.comes("m1", "modest")
    await settled()
    with pytest.raises(QueueFull):
        await greedy[3]
    for name in ("g1", "g2", "m1", "g3"):
        await crowd.goes(name)
    await asyncio.gather(*greedy[:3], modest)


async def test_a_query_that_gives_up_in_the_line_takes_no_place():
    crowd = Crowd(Admission(max_waiting=10), room=1)
    first, gone, last = (crowd.comes(name, "t") for name in ("first", "gone", "last"))
    await settled()
    gone.cancel()
    await settled()
    await crowd.goes("first")
    assert crowd.entered == ["first", "last"]
    await crowd.goes("last")
    await asyncio.gather(first, last)


async def test_a_query_that_gives_up_the_moment_it_is_called_passes_the_place_on():
    crowd = Crowd(Admission(max_waiting=10), room=1)
    first, gone, last = (crowd.comes(name, "t") for name in ("first", "gone", "last"))
    await settled()
    crowd._release["first"].set()
    await asyncio.wait([first])
    gone.cancel()
    await settled()
    assert crowd.entered[-1] == "last"
    await crowd.goes("last")
    await last


async def test_clients_that_leave_all_at_once_take_no_place_with_them():
    crowd = Crowd(Admission(max_waiting=10), room=2)
    gone = [crowd.comes(str(n), "gone") for n in range(6)]
    await settled()
    for task in gone:
        task.cancel()
    ended = await asyncio.gather(*gone, return_exceptions=True)
    assert {type(error) for error in ended} == {asyncio.CancelledError}
    stayed = [crowd.comes(name, "t") for name in ("one", "two")]
    await settled()
    assert crowd.entered == ["0", "1", "one", "two"]
    for name in ("one", "two"):
        await crowd.goes(name)
    await asyncio.gather(*stayed)


async def test_room_is_not_made_by_a_query_that_has_just_given_up():
    crowd = Crowd(Admission(max_waiting=3), room=1)
    greedy = [crowd.comes(name, "greedy") for name in ("g1", "g2", "g3", "g4")]
    await settled()
    modest = crowd.comes("m1", "modest")
    greedy[3].cancel()
    await settled()
    for name in ("g1", "g2", "m1", "g3"):
        await crowd.goes(name)
    await asyncio.gather(*greedy[:3], modest)
    assert greedy[3].cancelled()


async def test_room_that_is_added_goes_to_those_who_wait_and_not_to_who_comes():
    crowd = Crowd(Admission(max_waiting=10), room=1)
    tasks = [crowd.comes(name, "busy") for name in ("b1", "b2", "b3")]
    await settled()
    crowd.room = 2
    tasks.append(crowd.comes("q1", "quiet"))
    await settled()
    assert crowd.entered == ["b1", "b2"]
    for name in ("b1", "b2", "q1", "b3"):
        await crowd.goes(name)
    await asyncio.gather(*tasks)


async def test_room_that_is_taken_away_is_given_to_nobody_else():
    crowd = Crowd(Admission(max_waiting=10), room=2)
    tasks = [crowd.comes(name, "t") for name in ("one", "two")]
    await settled()
    crowd.room = 1
    tasks += [crowd.comes(name, "t") for name in ("three", "four")]
    await settled()
    await crowd.goes("one")
    assert crowd.entered == ["one", "two"]
    await crowd.goes("two")
    assert crowd.entered == ["one", "two", "three"]
    for name in ("three", "four"):
        await crowd.goes(name)
    await asyncio.gather(*tasks)


async def test_who_steps_outside_leaves_the_place_to_others_and_waits_for_one_after():
    admission, entered, comes_back = Admission(max_waiting=10), [], asyncio.Event()
    crowd = Crowd(admission, room=1)

    async def steps_outside():
        async with admission.admitted("busy", 1):
            async with admission.outside("busy"):
                await comes_back.wait()
            entered.append("back")

    outside = asyncio.create_task(steps_outside())
    await settled()
    other = crowd.comes("q1", "quiet")
    await settled()
    comes_back.set()
    await settled()
    assert (crowd.entered, entered) == (["q1"], [])
    await crowd.goes("q1")
    await asyncio.gather(outside, other)
    assert entered == ["back"]


@pytest.mark.parametrize("comes_back", [False, True])
async def test_who_gives_up_outside_or_in_the_line_after_takes_no_place_with_it(comes_back):
    admission, returns = Admission(max_waiting=10), asyncio.Event()
    crowd = Crowd(admission, room=1)

    async def steps_outside():
        async with admission.admitted("busy", 1), admission.outside("busy"):
            await returns.wait()

    outside = asyncio.create_task(steps_outside())
    await settled()
    tasks = [crowd.comes(name, "quiet") for name in ("q1", "q2")]
    await settled()
    if comes_back:
        returns.set()
        await settled()
    outside.cancel()
    await asyncio.wait([outside])
    assert crowd.entered == ["q1"]
    for name in ("q1", "q2"):
        await crowd.goes(name)
    await asyncio.gather(*tasks)
    assert crowd.entered == ["q1", "q2"]
