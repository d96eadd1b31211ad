"""Runs one role as a process: settings read once, logs set up, and what is wrong said in one sentence."""

import sys
from collections.abc import Callable
from typing import NoReturn

from lift import logs
from lift.errors import LiftError
from lift.settings import Settings


def run_role(role: str, run: Callable[[Settings], int]) -> NoReturn:
    """Ends the process with the exit code of `run`; an error of ours is a sentence on stderr and exit code 1."""
    try:
        settings = Settings.read()
        logs.configure(level=settings.log.level, as_json=settings.log.json_lines, role=role)
        sys.exit(run(settings))
    except LiftError as error:
        sys.exit(str(error))
