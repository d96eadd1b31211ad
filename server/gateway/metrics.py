"""What a gateway counts for Prometheus, and what it reads in the catalogue when it is asked: engines and jobs.

Jobs and engines are everybody's: each gateway says the same of them.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from lift.serving.metrics import SECONDS
from lift.values import JobKind, JobState
from storage.catalogue import Catalogue
from storage.placement import is_alive
from storage.records import ACTIVE, Backlog, Node

log = structlog.get_logger()

FIRST_TOKEN_SECONDS = Histogram(
    "lift_gateway_first_token_seconds",
    "From a question to the first token of its answer, of answers that were finished.",
    buckets=SECONDS,
)
TOKENS = Counter("lift_gateway_tokens", "Tokens of finished answers: prompt or completion.", ["direction"])
RUNNING = Gauge("lift_gateway_queries_running", "Queries that have a place at an engine.")
WAITING = Gauge("lift_gateway_queries_waiting", "Queries that stand in line for one.")
REFUSED = Counter("lift_gateway_queries_refused", "Queries refused for want of room or by a quota.", ["reason"])

FRESH_SECONDS = 5.0
"""So old may be what a scrape says of the catalogue, however many scrape how often."""
PATIENCE_SECONDS = 2.0
"""Prometheus gives a scrape ten seconds; a database that vanished is waited for longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What was read together."""

    backlog: tuple[Backlog, ...]
    nodes: tuple[Node, ...]


class CatalogueCollector(Collector):
    """Engines and active jobs as the catalogue has them; where it says nothing, that it does not."""

    def __init__(
        self, catalogue: Catalogue, node_timeout_seconds: float, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._catalogue = catalogue
        self._node_timeout_seconds = node_timeout_seconds
        self._patience_seconds = patience_seconds
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        self._asking = threading.Lock()
        self._reading: Future[_Read] | None = None
        self._fresh_until = 0.0

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Never fails: a scrape that did would also lose what the gateway counts itself."""
        read = self._read_lately()
        yield GaugeMetricFamily(
            "lift_gateway_catalogue_up", "Whether the catalogue says how engines and jobs are.", int(read is not None)
        )
        if read is not None:
            yield self._engines(read.nodes)
            yield from _jobs(read.backlog)

    def close(self) -> None:
        """Waits for nothing."""
        self._reader.shutdown(wait=False, cancel_futures=True)

    def _read_lately(self) -> _Read | None:
        """What was read lately, by whomever it was asked for; None where that failed or takes too long."""
        with self._asking:
            if self._reading is None or (self._reading.done() and time.monotonic() > self._fresh_until):
                self._reading = self._reader.submit(self._read)
                self._fresh_until = time.monotonic() + FRESH_SECONDS
            reading = self._reading
        try:
            return reading.result(self._patience_seconds)
        except Exception as error:  # whatever a reader trips over
            log.warning("catalogue_not_read", error=type(error).__name__)
            return None

    def _read(self) -> _Read:
        return _Read(backlog=self._catalogue.jobs.backlog(), nodes=self._catalogue.nodes.list())

    def _engines(self, nodes: tuple[Node, ...]) -> GaugeMetricFamily:
        help_text = "Engines: ready, draining (they are given nothing new), or silent and not yet forgotten."
        family = GaugeMetricFamily("lift_gateway_engines", help_text, labels=["state"])
        states = [self._state(node) for node in nodes]
        for state in ("ready", "draining", "silent"):
            family.add_metric([state], states.count(state))
        return family

    def _state(self, node: Node) -> str:
        if not is_alive(node, self._node_timeout_seconds):
            return "silent"
        return "draining" if node.draining else "ready"


def _jobs(backlog: tuple[Backlog, ...]) -> Iterator[GaugeMetricFamily]:
    """How many there are, and how long the oldest waits. Those that have ended are counted by who ended them."""
    jobs = GaugeMetricFamily("lift_gateway_jobs", "Active jobs.", labels=["kind", "state"])
    oldest = GaugeMetricFamily(
        "lift_gateway_oldest_job_waiting_seconds",
        "Since the oldest job that no worker has was made; of one that is retried, since it was made first.",
        labels=["kind"],
    )
    found = {(some.kind, some.state): some for some in backlog}
    for kind in JobKind:
        for state in ACTIVE:
            jobs.add_metric([kind, state], found[kind, state].jobs if (kind, state) in found else 0)
        waits = [some.oldest_seconds for some in backlog if some.kind is kind and some.state is not JobState.RUNNING]
        oldest.add_metric([kind], max(waits, default=0.0))
    yield jobs
    yield oldest
