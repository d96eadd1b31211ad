"""Runs the generator: `python -m generator`."""

import asyncio

from generator.server import serve
from lift import logs
from lift.settings import Settings


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    settings = Settings()
    logs.configure(level=settings.log.level, as_json=settings.log.json_lines, role="generator")
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
