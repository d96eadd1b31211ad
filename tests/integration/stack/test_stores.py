"""The stack's own Valkey and SeaweedFS, as `lift up` configures and supervises them."""

import asyncio
import os
import signal
from collections.abc import Sequence

import pytest
import urllib3
import valkey

from lift.errors import ObjectMissing, StoreUnavailable
from lift.stack.children import Program
from lift.stack.configuration import Configuration, configure
from lift.stack.folder import StateFolder
from lift.stack.programs import programs
from lift.stack.record import ProcessRecord, ProcessState
from lift.stack.supervisor import Supervisor
from storage.s3 import S3Objects

STORES = ("valkey", "objects")


def stores(state: StateFolder, configuration: Configuration) -> Sequence[Program]:
    return [program for program in programs(state, configuration) if program.name in STORES]


async def test_both_start_serve_and_stop_and_what_was_stored_is_there_the_next_time(state):
    configuration = configure(state)
    objects = S3Objects(configuration.settings.objects)
    async with Supervisor(stores(state, configuration), lambda _: None) as supervisor:
        await supervisor.ready()
        with valkey.Valkey.from_url(configuration.settings.queue.url.get_secret_value()) as client:
            assert client.ping()
        objects.put("tenants/a/thing", b"bytes")
    objects.close()

    again = configure(state)
    assert again.ports == configuration.ports
    assert again.settings == configuration.settings
    objects = S3Objects(again.settings.objects)
    async with Supervisor(stores(state, again), lambda _: None) as supervisor:
        await supervisor.ready()
        assert objects.get("tenants/a/thing") == b"bytes"
        with pytest.raises(ObjectMissing):
            objects.get("tenants/a/other")
    with pytest.raises(StoreUnavailable):
        objects.put("tenants/a/late", b"bytes")
    objects.close()


async def test_neither_takes_a_caller_without_its_secret(state):
    configuration = configure(state)
    async with Supervisor(stores(state, configuration), lambda _: None) as supervisor:
        await supervisor.ready()
        with (
            valkey.Valkey(port=configuration.ports["valkey"]) as client,
            pytest.raises(valkey.exceptions.AuthenticationError),
        ):
            client.ping()
        answer = await asyncio.to_thread(
            urllib3.request, "GET", f"http://127.0.0.1:{configuration.ports['s3']}/lift/tenants/a/thing"
        )
        assert answer.status == 403


async def test_the_object_store_takes_no_caller_without_a_key_at_its_other_doors(state):
    configuration = configure(state)
    objects = S3Objects(configuration.settings.objects)
    async with Supervisor(stores(state, configuration), lambda _: None) as supervisor:
        await supervisor.ready()
        objects.put("tenants/a/thing", b"bytes")
        url = f"http://127.0.0.1:{configuration.ports['filer']}/buckets/lift/tenants/a/thing"
        for method in ("GET", "PUT", "DELETE"):
            answer = await asyncio.to_thread(urllib3.request, method, url)
            assert answer.status == 401, method
        assert objects.get("tenants/a/thing") == b"bytes"
    objects.close()
    assert (state.path / "objects" / "security.toml").stat().st_mode & 0o777 == 0o600


async def test_a_store_that_was_filled_before_it_had_keys_is_read_with_them(state):
    configuration = configure(state)
    objects = S3Objects(configuration.settings.objects)
    without_keys = stores(state, configuration)
    (state.path / "objects" / "security.toml").unlink()
    async with Supervisor(without_keys, lambda _: None) as supervisor:
        await supervisor.ready()
        objects.put("tenants/a/thing", b"bytes")
    async with Supervisor(stores(state, configuration), lambda _: None) as supervisor:
        await supervisor.ready()
        assert objects.get("tenants/a/thing") == b"bytes"
        objects.put("tenants/a/other", bytes(40 << 20))
        assert len(objects.get("tenants/a/other")) == 40 << 20
        assert set(objects.list("tenants/a/")) == {"tenants/a/thing", "tenants/a/other"}
        objects.delete(["tenants/a/thing"])
        with pytest.raises(ObjectMissing):
            objects.get("tenants/a/thing")
    objects.close()


async def test_a_store_that_is_killed_comes_back_with_what_it_held(state, wait_until):
    configuration = configure(state)
    objects = S3Objects(configuration.settings.objects)
    seen: list[tuple[ProcessRecord, ...]] = []
    async with Supervisor(stores(state, configuration), seen.append) as supervisor:
        await supervisor.ready()
        objects.put("tenants/a/thing", b"bytes")
        store = seen[-1][1]
        os.kill(store.pid, signal.SIGKILL)
        async with asyncio.timeout(120):
            while not (seen[-1][1].restarts and seen[-1][1].state is ProcessState.READY):  # noqa: ASYNC110 - elsewhere
                await asyncio.sleep(0.05)
        assert seen[-1][1].restarts == 1
        assert objects.get("tenants/a/thing") == b"bytes"
    objects.close()
