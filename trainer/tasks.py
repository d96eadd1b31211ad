"""Turns a wake-up into one run of a job, in the child process of the worker."""

import functools
import os
import signal
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import structlog
from celery import current_app, shared_task
from celery.signals import setup_logging, worker_process_init

from lift import logs
from lift.errors import InvalidOption
from lift.serving.metrics import serving_metrics
from lift.settings import Settings
from storage.wakeups import TASK
from trainer.crew import Crew
from trainer.learners.memory import give_back

if TYPE_CHECKING:
    from trainer.jobs.job import Trainer

HAND_BACK = signal.SIGUSR2  # to the child: give the job in hand back to the queue

log = structlog.get_logger()

_stopping = threading.Event()
_building = threading.Lock()
_serving = ExitStack()  # until the process ends


@shared_task(name=TASK, ignore_result=True)  # type: ignore[untyped-decorator]  # Celery has no types
def train(job_id: str) -> None:
    """Runs the job where it still waits; a wake-up that comes twice or late finds it held or ended and does nothing."""
    trainer = _trainer()
    Crew(trainer.run, trainer.joinable, trainer.at_once).run(job_id)
    give_back()  # a trainer that waits holds little more than its base model


@setup_logging.connect  # type: ignore[untyped-decorator]
def _keep_our_logging(**_: Any) -> None:
    """Celery sets up no logging of its own where this signal has a receiver."""


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _start_child(**_: Any) -> None:
    settings = _settings()
    logs.configure(level=settings.log.level, as_json=settings.log.json_lines, role="trainer")
    signal.signal(HAND_BACK, lambda *_: _stopping.set())
    threading.Thread(target=lambda: _trainer().warm_up(), name="warm-up", daemon=True).start()
    try:
        port = _serving.enter_context(serving_metrics(settings.trainer.metrics_host, settings.trainer.metrics_port))
        log.info("trainer_started", metrics_port=port)
    except InvalidOption as error:  # the parent could listen there: somebody has taken it since
        log.error("metrics_not_served", error=str(error))


def _settings() -> Settings:
    settings: Settings = current_app.conf.lift_settings  # put there by the parent
    return settings


def _trainer() -> "Trainer":
    with _building:  # the thread that warms up and a first job want the same one
        return _built()


@functools.cache
def _built() -> "Trainer":
    # Imported here, since the parent imports this module too and needs no torch.
    from trainer.jobs.job import Trainer

    return Trainer.of(_settings(), worker=f"{os.uname().nodename}-{os.getpid()}", stopping=_stopping.is_set)
