"""Gives a benchmark's process the variables that `lift up` gives the role whose work it does.

Which OpenMP runs, how long its threads wait and how memory is kept decide about speed, and a library reads them once.
"""

import os
import sys

from lift.stack.programs import of_engine, of_trainer

ROLES = {
    "train": of_trainer,
    "pipeline": of_trainer,
    "recipes": of_trainer,
    "serve": of_engine,
    "registered": of_engine,
}
"""The variables of whose work each benchmark does itself; the others ask a stack that runs."""


def become_role(benchmark: str) -> None:
    """Runs this process's command anew with the role's variables, where it lacks any of them."""
    wanted = ROLES[benchmark]() if benchmark in ROLES else {}
    if wanted.keys() - os.environ.keys():
        again = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, again, {**os.environ, **wanted})  # noqa: S606 - no shell is wanted


def used() -> dict[str, str]:
    """Those of a role's variables that this process has."""
    return {name: os.environ[name] for name in of_trainer() if name in os.environ}
