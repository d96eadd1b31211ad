"""Starts an engine from the settings, and stops it on SIGTERM or Ctrl-C; ends with an error where vLLM dies.

vLLM imports this module again in its child processes, so it is light and nothing in it runs by itself.
"""

import asyncio
import os
import signal
import sys

from lift.process import run_role
from lift.settings import Settings
from server.engine.environment import environment
from storage.base_model import folder_of, identify


async def serve(settings: Settings) -> int:
    """Serves until the process is told to stop (0) or vLLM is gone (1)."""
    base_model = folder_of(settings.model.base_model)
    base_model_revision = identify(base_model)
    # Not above: vLLM's children would import it all too, and a missing base model should be said at once.
    from server.engine.serving import serving
    from server.engine.vllm_engine import VllmEngine
    from storage.catalogue import Catalogue

    catalogue = Catalogue(settings.catalogue.url.get_secret_value())
    llm = VllmEngine.start(base_model, settings.engine, settings.model)
    try:
        await asyncio.to_thread(catalogue.migrate)
        async with serving(
            settings,
            llm,
            catalogue=catalogue,
            base_model=base_model,
            base_model_revision=base_model_revision,
        ):
            stopped = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stopped.set)
            ends = {asyncio.create_task(stopped.wait()), asyncio.create_task(llm.died())}
            _, waiting = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
            return 0 if stopped.is_set() else 1
    finally:
        llm.shutdown()
        catalogue.close()


def run(settings: Settings) -> int:
    """`python -m server.engine`."""
    os.environ.update(environment(settings))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a stop while vLLM loads takes its processes along
    return asyncio.run(serve(settings))


if __name__ == "__main__":
    run_role("engine", run)
