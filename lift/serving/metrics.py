"""Turns what a role counts into Prometheus' text form, at an address of its own: it is of all tenants.

What a role counts stands in its module `metrics`, as metrics of prometheus_client at the top of the module, in that
library's one registry of the process. No label may be a tenant, an adapter, a job or a name that callers choose: there
is no end to those, and Prometheus keeps a series for each that there ever was.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY, CollectorRegistry, disable_created_metrics, start_http_server
from prometheus_client.registry import Collector

from lift.serving.addresses import cannot_listen

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Buckets of everything that somebody waits for."""


@contextmanager
def serving_metrics(host: str, port: int, *looked_up: Collector) -> Iterator[int]:
    """Serves /metrics for as long as the block lasts; the port, or 0 where there is no host and nothing is served.

    `looked_up`: what is not counted, but asked for at each scrape, in a thread of its own. A port of 0 is chosen by the
    system. InvalidOption: the port is taken, or the host is none of this machine.
    """
    if not host:
        yield 0
        return
    disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series each, which nobody asks for
    registry = CollectorRegistry()
    for collector in (REGISTRY, *looked_up):
        registry.register(collector)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise cannot_listen(f"{host}:{port}") from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
