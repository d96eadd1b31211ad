"""Runs one role as a process: settings read once, logs set up, and what is wrong said in one sentence."""

import sys
from collections.abc import Callable
from typing import NoReturn

from lift import logs, proxies
from lift.errors import LiftError, Unavailable
from lift.settings import Settings


def run_role(role: str, run: Callable[[Settings], int]) -> NoReturn:
    """Ends the process with the exit code of `run`; an error of ours is a sentence on stderr and exit code 1.

    Of what cannot be reached the sentence has the reason as well, which tenants are not shown.
    """
    proxies.pass_by()
    try:
        settings = Settings.read()
        logs.configure(level=settings.log.level, as_json=settings.log.json_lines, role=role)
        sys.exit(run(settings))
    except Unavailable as error:
        reason = str(error.__cause__ or "").partition("\n")[0]
        sys.exit(f"{error}: {reason}" if reason else str(error))
    except LiftError as error:
        sys.exit(str(error))
