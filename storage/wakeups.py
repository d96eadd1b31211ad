"""Wake-ups: a message that says "look at this job now". It carries a job's id and nothing else.

A lost one costs only time: the trainers' sweeper sends again what the catalogue says is waiting.
"""

from typing import Protocol

import structlog
from celery import Celery
from kombu.exceptions import ChannelError, OperationalError

from lift.errors import InvalidOption, Unavailable

TASK = "lift.train"
_CONNECT_SECONDS = 2
_SOCKET_SECONDS = 5
_NO_QUEUE = 404

log = structlog.get_logger()


class Wakeups(Protocol):
    """Tells the trainers that a job wants attention."""

    def wake(self, job: str) -> None:
        """Sends a wake-up; never fails, since the sweeper makes up for a lost one."""

    def waiting(self) -> bool:
        """Whether there are wake-ups that no trainer has taken. Unavailable: the broker does not say."""
        ...


class CeleryWakeups:
    """Wake-ups as tasks `lift.train` of Celery, through the broker at `url`, in the queue of that name."""

    def __init__(self, url: str, queue: str) -> None:
        """InvalidOption: no broker has such a URL."""
        self._queue = queue
        self._celery = Celery("lift", broker=url, set_as_current=False)
        try:
            self._celery.connection_for_write().get_transport_cls()
        except (KeyError, ImportError) as error:
            raise InvalidOption(option="queue.url", expected="redis://…, rediss://… or amqp://…") from error
        self._celery.conf.update(
            task_serializer="json",
            task_ignore_result=True,
            task_publish_retry=False,
            broker_connection_retry=False,
            broker_connection_timeout=_CONNECT_SECONDS,
        )
        if url.startswith(("redis", "valkey")):
            self._celery.conf.broker_transport_options = {
                "socket_connect_timeout": _CONNECT_SECONDS,
                "socket_timeout": _SOCKET_SECONDS,
                "max_retries": 0,
            }

    def wake(self, job: str) -> None:
        try:
            self._celery.send_task(TASK, args=[job], queue=self._queue, retry=False, ignore_result=True)
        except OperationalError as error:
            log.warning("wakeup_lost", job=job, error=type(error).__name__)

    def waiting(self) -> bool:
        with self._celery.pool.acquire(block=True) as connection:
            try:
                with connection.channel() as channel:
                    return bool(channel.queue_declare(self._queue, passive=True).message_count)
            except ChannelError as error:
                if int(error.reply_code) != _NO_QUEUE:  # text on Redis
                    raise
                return False
            except connection.connection_errors as error:
                raise Unavailable(problem=type(error).__name__) from error

    def close(self) -> None:
        """Closes the connections to the broker."""
        self._celery.close()


class MemoryWakeups:
    """Remembers what it was told, in order; whoever takes a wake-up takes it out of `woken`."""

    def __init__(self) -> None:
        self.woken: list[str] = []

    def wake(self, job: str) -> None:
        self.woken.append(job)

    def waiting(self) -> bool:
        return bool(self.woken)
