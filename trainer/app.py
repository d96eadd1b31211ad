"""Turns settings into the trainer's process: a Celery worker whose one child trains, and a thread that sweeps."""

import os
from contextlib import closing
from typing import Any

import structlog
from celery import Celery
from celery.signals import worker_ready, worker_shutting_down

from lift.serving.metrics import serving_metrics
from lift.settings import Settings
from lift.stack.folder import StateFolder
from storage.catalogue import Catalogue
from storage.wakeups import CeleryWakeups
from trainer.sweeper import Sweeper
from trainer.tasks import HAND_BACK

log = structlog.get_logger()

_REDIS = ("redis://", "rediss://", "valkey://", "valkeys://", "unix://")


def celery_app(settings: Settings) -> Celery:
    """The app that receives wake-ups. The settings travel in its configuration into the spawned child."""
    url = settings.queue.url.get_secret_value()
    app = Celery("trainer", broker=url, include=["trainer.tasks"])
    app.conf.update(
        lift_settings=settings,
        task_default_queue=settings.queue.name,
        task_ignore_result=True,
        # Redis never renews the visibility of an unacknowledged message, so a long job would run twice. The lease in
        # the catalogue and the sweeper are what survives a crash, so messages are acknowledged before the work.
        task_acks_late=False,
        task_serializer="json",
        accept_content=["json"],
        worker_concurrency=1,
        worker_pool="prefork",
        worker_pool_start_method="spawn",  # a forked child cannot use a GPU that its parent has touched
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=url.startswith(_REDIS),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
    )
    return app


def run(settings: Settings) -> int:
    """Works until SIGTERM or SIGINT, when a job in hand is given back to the queue; the exit code.

    InvalidOption: where the child is to serve its metrics nobody can listen.
    """
    with serving_metrics(settings.trainer.metrics_host, settings.trainer.metrics_port):
        pass  # the child that counts serves them; what is wrong is said here, before anything is begun
    with (
        closing(Catalogue(settings.catalogue.url.get_secret_value())) as catalogue,
        closing(CeleryWakeups(settings.queue.url.get_secret_value(), settings.queue.name)) as wakeups,
    ):
        catalogue.migrate()
        worker = _worker(settings)
        with Sweeper(
            catalogue,
            wakeups,
            every_seconds=settings.trainer.sweep_seconds,
            patience_seconds=settings.trainer.lease_seconds,
        ):
            worker.start()
    return int(worker.exitcode or 0)


def _worker(settings: Settings) -> Any:
    """Celery's worker, which tells its child to hand a job back, and the stack that it is ready."""
    worker = celery_app(settings).Worker(
        hostname=f"trainer@{os.uname().nodename}-{os.getpid()}",
        loglevel=settings.log.level,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )

    @worker_shutting_down.connect(weak=False)  # type: ignore[untyped-decorator]  # Celery has no types
    def hand_back(**_: Any) -> None:
        for pid in worker.pool.info["processes"]:
            os.kill(pid, HAND_BACK)

    @worker_ready.connect(weak=False)  # type: ignore[untyped-decorator]  # Celery has no types
    def say_so(**_: Any) -> None:
        log.info("worker_ready")
        state = StateFolder(settings.state_dir)
        state.make()
        state.trainer_ready.touch()

    return worker
