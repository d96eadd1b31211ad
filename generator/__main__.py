"""Runs the generator: `python -m generator`."""

import asyncio

from generator.server import serve
from lift.process import run_role
from lift.settings import Settings


def run(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT."""
    asyncio.run(serve(settings))
    return 0


if __name__ == "__main__":
    run_role("generator", run)
