"""Places of tenants: each has so many, and nobody has another's."""

import asyncio

import pytest

from lift.errors import QuotaExceeded
from server.gateway.places import Places, Rooms


def test_a_tenant_has_so_many_places_and_gives_them_back():
    places = Places("max_things")
    with places.held_by("acme", 2):
        with places.held_by("acme", 2), pytest.raises(QuotaExceeded) as refused, places.held_by("acme", 2):
            pass
        assert refused.value.facts == {"quota": "max_things", "limit": 2}
        with places.held_by("acme", 2), places.held_by("other", 1):
            pass


def test_no_limit_is_no_refusal():
    places = Places("max_things")
    with places.held_by("acme", 0), places.held_by("acme", 0):
        pass


async def test_who_comes_to_a_full_room_waits_and_keeps_nobody_else_waiting():
    rooms, entered, goes_on = Rooms(1), [], asyncio.Event()

    async def enter(tenant):
        async with rooms.of(tenant):
            entered.append(tenant)
            await goes_on.wait()

    entering = [asyncio.create_task(enter(tenant)) for tenant in ("acme", "acme", "other")]
    for _ in range(3):
        await asyncio.sleep(0)
    assert entered == ["acme", "other"]
    goes_on.set()
    await asyncio.gather(*entering)
    assert entered == ["acme", "other", "acme"]


async def test_a_room_that_nobody_uses_is_not_kept():
    rooms = Rooms(1)
    async with rooms.of("acme"):
        assert rooms.of("acme").locked()
    assert len(rooms._rooms) == 0
