"""Makes a trainer stand back where it shares processors with an engine, or with whoever else has somebody waiting.

An engine's step is some hundred short pieces of work, each done when the last of its threads is. A trainer with the
same claim to the processors takes one thread's away in nearly every piece, and the others wait: on two cores a step
that takes 26 ms alone took 108 beside a training, and 32 where the trainer had a niceness of 10.
"""

import os
from pathlib import Path

import structlog

AUTOGROUP = Path("/proc/self/autogroup")

log = structlog.get_logger()


def stand_back(niceness: int) -> None:
    """Raises the niceness of this process and of those that it starts from now on, as nice(2) does.

    Linux may weigh sessions instead of processes (CONFIG_SCHED_AUTOGROUP, see sched(7)): where this process leads a
    session, as those of `lift up` do, the session gets the niceness too. Between containers their CPU shares count.
    """
    os.nice(niceness)
    if os.getsid(0) == os.getpid() and AUTOGROUP.exists():
        try:
            AUTOGROUP.write_text(str(niceness))
        except OSError as error:
            log.warning("session_not_niced", niceness=niceness, error=str(error))
