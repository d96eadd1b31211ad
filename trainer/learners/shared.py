"""Turns the steps of jobs in several threads into joint steps over one frozen base model."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import structlog
from torch import Tensor

from trainer.examples.batches import Example
from trainer.learners.fused import FusedAdapter, FusedLearner, Step
from trainer.learners.primer import Primer
from trainer.profiles import Hyperparameters

GRACE_SECONDS = 0.01  # between its steps a job does little else; one that waits for its generator is not waited for

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()


@dataclass(slots=True)
class _Request:
    """A step that an adapter waits for."""

    step: Step
    loss: float = 0.0
    error: Exception | None = None
    done: bool = False


class SharedLearner:
    """A fast learner for several threads, one adapter each.

    A step is made once all adapters have asked for theirs, or one has waited for GRACE_SECONDS; whoever notices has it
    made for all who asked. What is wrong with one adapter's step is raised in its thread alone.

    One thread computes for all. Each thread that does so with torch gets a team of OpenMP threads, and where the teams
    together have more threads than there are processors, none of these stays awake between two pieces of work.
    """

    def __init__(self, learner: FusedLearner) -> None:
        self._learner = learner
        self._computing = ThreadPoolExecutor(1, "learner")
        self._changed = threading.Condition()
        self._waiting: list[_Request] = []
        self._adapters = 0
        self._stepping = False

    @contextmanager
    def adapter(self, hyperparameters: Hyperparameters, primer: Primer | None = None) -> Iterator["SharedAdapter"]:
        """LoRA weights for the length of the block, fresh or begun at a primer."""
        block = self._learner.adapter(hyperparameters, primer)
        adapter = self.computed(block.__enter__)
        self._count(1)
        try:
            yield SharedAdapter(self, adapter)
        finally:
            self._count(-1)
            self.computed(block.__exit__, None, None, None)

    def unadapted(self) -> AbstractContextManager[object]:
        """See `Learner`."""
        return self._learner.unadapted()

    def computed(self, compute: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """What it returns or raises, in the thread that computes."""
        return self._computing.submit(compute, *arguments, **options).result()

    def step(self, step: Step) -> float:
        """Makes it beside those of others; mean loss per answer token before it, in nats."""
        request = _Request(step)
        patient_until = time.monotonic() + GRACE_SECONDS
        with self._changed:
            self._waiting.append(request)
            self._changed.notify_all()
            while not request.done:
                all_ask = len(self._waiting) >= self._adapters
                if not self._stepping and (all_ask or time.monotonic() >= patient_until):
                    self._step_for_all()
                else:
                    self._changed.wait(GRACE_SECONDS)
        if request.error is not None:
            raise request.error
        return request.loss

    def _count(self, more: int) -> None:
        with self._changed:
            self._adapters += more
            self._changed.notify_all()

    def _step_for_all(self) -> None:
        """Called with the condition held, which is let go while the step is made."""
        requests, self._waiting = self._waiting, []
        self._stepping = True
        self._changed.release()
        try:
            self._make(requests)
        finally:
            self._changed.acquire()
            self._stepping = False
            for request in requests:
                request.done = True
            self._changed.notify_all()

    def _make(self, requests: Sequence[_Request]) -> None:
        try:
            losses = self.computed(self._learner.step, [request.step for request in requests])
        except Exception as error:
            if len(requests) == 1:
                requests[0].error = error
                return
            log.warning("joint_step_failed", adapters=len(requests), error=type(error).__name__)
            for request in requests:
                self._make([request])
            return
        for request, loss in zip(requests, losses, strict=True):
            request.loss = loss


class SharedAdapter:
    """One adapter in training."""

    def __init__(self, learner: SharedLearner, adapter: FusedAdapter) -> None:
        self._learner = learner
        self._adapter = adapter

    def step(self, examples: Sequence[Example], left: float = 1.0) -> float:
        """See `Adapter`."""
        return self._learner.step(Step(self._adapter, examples, left))

    def loss(self, examples: Sequence[Example]) -> float:
        """See `Adapter`; between the steps of others."""
        return self._learner.computed(self._adapter.loss, examples)

    def loss_with(self, weights: Mapping[str, Tensor], examples: Sequence[Example]) -> float:
        """See `Adapter`; likewise."""
        return self._learner.computed(self._adapter.loss_with, weights, examples)

    def weights(self) -> dict[str, Tensor]:
        """See `Adapter`."""
        return self._learner.computed(self._adapter.weights)
