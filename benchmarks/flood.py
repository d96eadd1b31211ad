"""One tenant floods a gateway while another asks one question at a time: what the other one waits."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.queries import Outcome, Query, ask_all, asking
from benchmarks.spread import percentiles, ratios
from lift.client import AdminClient, AsyncClient

FLOOD_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What became of one tenant's single questions alone and beside the flood, and of the flood's."""

    alone: Sequence[Outcome]
    flooded: Sequence[Outcome]
    flood: Sequence[Outcome]


@asynccontextmanager
async def another_tenant(state_dir: Path) -> AsyncIterator[AsyncClient]:
    """A client of a new tenant, which is gone afterwards.

    CredentialMissing, AdminDisabled and what else the administration says where no tenant can be made.
    """
    with AdminClient(state_dir=state_dir) as admin:
        tenant = await asyncio.to_thread(admin.tenants.create, title="bench")
        try:
            key = await asyncio.to_thread(admin.keys.create, tenant.id)
            async with AsyncClient(key=key.secret, state_dir=state_dir) as client:
                yield client
        finally:
            await asyncio.to_thread(admin.tenants.delete, tenant.id)


async def beside_flood(
    client: AsyncClient, flooder: AsyncClient, queries: Sequence[Query], questions: Sequence[str]
) -> Shared:
    """The queries one at a time, and again while the flooder asks the base model FLOOD_AT_ONCE questions at once."""
    alone, _ = await ask_all(client, queries, 1)
    async with asking(flooder, _flood(questions), FLOOD_AT_ONCE) as flood:
        await ask_all(client, queries[:1], 1)  # meanwhile it rises
        flooded, _ = await ask_all(client, queries, 1)
    return Shared(alone=alone, flooded=flooded, flood=flood)


def _flood(questions: Sequence[str]) -> Iterator[Query]:
    return (Query(adapter=None, question=question) for question in cycle(questions))


def flood_figures(shared: Sequence[Shared]) -> dict[str, Any]:
    """Seconds of a single question's answer alone and beside the flood; of the flood, what was answered meanwhile."""
    alone = [outcome for each in shared for outcome in each.alone]
    flooded = [outcome for each in shared for outcome in each.flooded]
    flood = [outcome for each in shared for outcome in each.flood]
    before, after = (
        percentiles([outcome.seconds for outcome in outcomes if not outcome.error]) for outcomes in (alone, flooded)
    )
    return {
        "alone_seconds": before,
        "flooded_seconds": after,
        "flooded_to_alone": ratios(after, before),
        "failed": sum(bool(outcome.error) for outcome in [*alone, *flooded]),
        "flood_at_once": FLOOD_AT_ONCE,
        "flood_answered": sum(not outcome.error for outcome in flood),
        "flood_refused": sum(bool(outcome.error) for outcome in flood),
    }
