"""`lift bench load`: what a running stack's gateway does under 1 to 64 concurrent queries.

Bad queries among them, and another tenant's flood beside the questions of one who asks one at a time.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.flood import Shared, another_tenant, beside_flood, flood_figures
from benchmarks.machine import describe
from benchmarks.pairs import pairs
from benchmarks.queries import Outcome, ask_all, asking, bad, good
from benchmarks.spread import percentiles, ratios, spread
from lift.client import AsyncClient
from lift.errors import InvalidOption, LiftError
from lift.values import AdapterState

MAX_AT_ONCE = 1024
MIXED_AT_ONCE = 8
QUERIES_EACH = 4
NEIGHBOUR_QUERIES = 16

Mixed: TypeAlias = tuple[Sequence[Outcome], Sequence[Outcome], Sequence[Outcome]]
"""Good queries alone, good ones beside bad ones, and the bad ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure. `concurrency`: queries at once, one level after the other; `adapters`: none asks all."""

    state_dir: Path
    concurrency: Sequence[int]
    adapters: Sequence[str]
    repeats: int
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        """InvalidOption: a number that no run can have."""
        if not self.concurrency or any(not 1 <= level <= MAX_AT_ONCE for level in self.concurrency):
            raise InvalidOption(option="concurrency", expected=f"numbers from 1 to {MAX_AT_ONCE}")
        if self.repeats < 1:
            raise InvalidOption(option="repeats", value=self.repeats, expected="at least 1")


def bench_load(plan: Plan) -> dict[str, Any]:
    """Interleaved repeats of all levels: the result that `--json` prints.

    GatewayUnavailable, AdapterMissing and what else the gateway says where nothing can be asked.
    """
    return asyncio.run(_bench(plan))


async def _bench(plan: Plan) -> dict[str, Any]:
    questions = [question for question, _ in pairs()]
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(AsyncClient(state_dir=plan.state_dir))
        adapters = await _adapters(client, plan.adapters)
        plan.say(f"{len(adapters)} adapters" if adapters != [None] else "no adapter is ready: the base model is asked")
        for query in good(adapters, questions, len(adapters)):
            await ask_all(client, [query], 1)
        flooder = await _flooder(plan, stack)
        seen: dict[int, list[tuple[list[Outcome], float]]] = {level: [] for level in plan.concurrency}
        mixed = []
        shared: list[Shared] = []
        for repeat in range(1, plan.repeats + 1):
            for level in plan.concurrency:
                asked = good(adapters, questions[level:], QUERIES_EACH * level)
                seen[level].append(await ask_all(client, asked, level))
                plan.say(f"{repeat}/{plan.repeats} {level} at once: {seen[level][-1][1]:.1f} s")
            mixed.append(await _beside_bad(client, adapters, questions))
            plan.say(f"{repeat}/{plan.repeats} {len(mixed[-1][2])} bad queries beside {MIXED_AT_ONCE} at once")
            if flooder is not None:
                single = good(adapters, questions, NEIGHBOUR_QUERIES)
                shared.append(await beside_flood(client, flooder, single, questions))
                plan.say(f"{repeat}/{plan.repeats} one question at a time, beside another tenant's flood")
    return {
        "machine": describe(),
        "adapters": 0 if adapters == [None] else len(adapters),
        "repeats": plan.repeats,
        "concurrency": {str(level): figures(runs) for level, runs in seen.items()},
        "bad_queries": bad_figures(mixed),
        "two_tenants": flood_figures(shared) if shared else None,
    }


async def _flooder(plan: Plan, stack: AsyncExitStack) -> AsyncClient | None:
    """A client of another tenant for as long as the stack is open; None where there is no key to make one."""
    try:
        return await stack.enter_async_context(another_tenant(plan.state_dir))
    except LiftError as error:
        plan.say(f"no second tenant: {error}")
        return None


async def _beside_bad(client: AsyncClient, adapters: Sequence[str | None], questions: Sequence[str]) -> Mixed:
    asked = good(adapters, questions, QUERIES_EACH * MIXED_AT_ONCE)
    alone, _ = await ask_all(client, asked, MIXED_AT_ONCE)
    async with asking(client, bad(adapters), 1) as refused:
        beside, _ = await ask_all(client, asked, MIXED_AT_ONCE)
    return alone, beside, refused


async def _adapters(client: AsyncClient, wanted: Sequence[str]) -> list[str | None]:
    """Those that are named, or all that are ready; the base model where there are none. AdapterMissing."""
    if wanted:
        return [(await client.adapters.get(adapter)).id for adapter in wanted]
    ready = [adapter.id async for adapter in client.adapters.list() if adapter.state is AdapterState.READY]
    return [*ready] or [None]


def figures(runs: Sequence[tuple[Sequence[Outcome], float]]) -> dict[str, Any]:
    """Seconds to the end and to the first token of all answers, tokens and answers a second of each run."""
    answers = [outcome for outcomes, _ in runs for outcome in outcomes if not outcome.error]
    failed = sum(bool(outcome.error) for outcomes, _ in runs for outcome in outcomes)
    if not answers:
        return {"answers": 0, "failed": failed}
    return {
        "answers": len(answers),
        "failed": failed,
        "out_of_scope": sum(answer.out_of_scope for answer in answers),
        "latency_seconds": percentiles([answer.seconds for answer in answers]),
        "first_token_seconds": percentiles([answer.first_token_seconds for answer in answers]),
        "tokens_per_second": spread([sum(each.tokens for each in outcomes) / seconds for outcomes, seconds in runs]),
        "answers_per_second": spread([sum(not each.error for each in outcomes) / took for outcomes, took in runs]),
    }


def bad_figures(mixed: Sequence[Mixed]) -> dict[str, Any]:
    """What bad queries cost the good ones, of each repeat."""
    alone, beside, refused = ([outcome for each in mixed for outcome in each[part]] for part in range(3))
    before, after = (percentiles([outcome.seconds for outcome in outcomes]) for outcomes in (alone, beside))
    return {
        "sent": len(refused),
        "refused": sum(outcome.expected for outcome in refused),
        "reasons": sorted({outcome.error for outcome in refused}),
        "good_failed": sum(not outcome.expected for outcome in [*alone, *beside]),
        "alone_seconds": before,
        "beside_seconds": after,
        "beside_to_alone": ratios(after, before),
    }
