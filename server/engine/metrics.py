"""What an engine counts for Prometheus.

vLLM's own statistics are off (`disable_log_stats`): it would work them out in every step.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from prometheus_client import Counter, Gauge, Histogram

from lift.serving.metrics import SECONDS
from server.engine.llm import Delta

SLOTS = Gauge("lift_engine_slots", "Adapters that there is room for in memory.")
ADAPTERS = Gauge(
    "lift_engine_adapters",
    "Adapters that tenants can ask (memory), and those kept on the disk for the next time (disk).",
    ["tier"],
)
DISK_CACHE_BYTES = Gauge("lift_engine_disk_cache_bytes", "Of the adapters on the disk that are not in memory.")
LOAD_SECONDS = Histogram(
    "lift_engine_load_seconds",
    "Loads that succeeded, from asked for to answering: fetch, check, wait, load and probe.",
    buckets=SECONDS,
)
LOAD_FAILURES = Counter("lift_engine_load_failures", "Loads that failed.", ["reason"])
EVICTIONS = Counter(
    "lift_engine_evictions", "Adapters that made room for others: out of memory, or off the disk.", ["tier"]
)
ANSWERS = Gauge(
    "lift_engine_answers", "Answers that vLLM was asked for: waiting for a first token, or writing.", ["state"]
)
TOKENS = Counter("lift_engine_tokens", "Tokens of answers that ended: prompt or completion.", ["direction"])


async def counted(deltas: AsyncGenerator[Delta]) -> AsyncGenerator[Delta]:
    """An answer's pieces as they are, counted as waiting until the first, then as being written; and their tokens."""
    state = ANSWERS.labels("waiting")
    state.inc()
    begun = False
    try:
        async with aclosing(deltas):
            async for delta in deltas:
                if not begun:
                    state.dec()
                    state, begun = ANSWERS.labels("writing"), True
                    state.inc()
                if delta.finish_reason:
                    TOKENS.labels("prompt").inc(delta.prompt_tokens)
                    TOKENS.labels("completion").inc(delta.completion_tokens)
                yield delta
    finally:
        state.dec()
