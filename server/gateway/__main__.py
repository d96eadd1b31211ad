"""Starts a gateway from the settings, and stops it on SIGTERM or Ctrl-C."""

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor

from lift.process import run_role
from lift.settings import Settings
from server.gateway.serving import serving
from storage.catalogue import Catalogue
from storage.s3 import S3Objects
from storage.wakeups import CeleryWakeups

THREADS = 32
"""Calls of the catalogue and the object store at once: they block, each in a thread."""

KEPT_CONNECTIONS = 8
"""To the catalogue: every call of a tenant needs one."""


async def serve(settings: Settings) -> None:
    """Serves until the process is told to stop."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="store"))
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    catalogue = Catalogue(settings.catalogue.url.get_secret_value(), KEPT_CONNECTIONS)
    objects = S3Objects(settings.objects)
    wakeups = CeleryWakeups(settings.queue.url.get_secret_value(), settings.queue.name)
    try:
        await asyncio.to_thread(catalogue.migrate)
        async with serving(settings, catalogue, objects, wakeups):
            await stopped.wait()
    finally:
        wakeups.close()
        objects.close()
        catalogue.close()


def run(settings: Settings) -> int:
    """`python -m server.gateway`."""
    asyncio.run(serve(settings))
    return 0


if __name__ == "__main__":
    run_role("gateway", run)
