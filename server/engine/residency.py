"""Keeps the catalogue's picture of this node true: reports what is resident, and reloads what was after a start."""

import asyncio
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

import structlog

from lift.errors import CatalogueUnavailable, LiftError
from lift.settings import Settings
from server.engine.identity import Identity
from server.engine.slots import Slots
from storage.catalogue import Catalogue
from storage.placement import is_alive, place, usable
from storage.records import Node, RevisionRef

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")

REPORT_SECONDS = 2.0


class Residency:
    """One node's reports and reloads. A catalogue that is down, or a revision that fails, stops neither."""

    def __init__(self, catalogue: Catalogue, slots: Slots, identity: Identity, settings: Settings) -> None:
        self._catalogue = catalogue
        self._slots = slots
        self._identity = identity
        self._address = settings.engine.address
        self._node_timeout_seconds = settings.gateway.node_timeout_seconds
        self._reachable = True

    async def run(self) -> None:
        """Reloads and reports until it is cancelled.

        The first report says that nothing is resident, so it waits until the catalogue has said what was.
        """
        while (wanted := await self._asked(self._wanted)) is None:  # noqa: ASYNC110 - the catalogue wakes nobody
            await asyncio.sleep(REPORT_SECONDS)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._report_on())
            tasks.create_task(self._fill(wanted))

    async def _report_on(self) -> None:
        while True:
            await self._asked(self._report, self._slots.resident)
            await asyncio.sleep(REPORT_SECONDS)

    async def _fill(self, wanted: Sequence[RevisionRef]) -> None:
        """Loads revisions one after the other, so that answers are not starved."""
        for ref in wanted:
            try:
                await self._slots.load(ref)
            except LiftError as error:
                log.warning("reload_failed", adapter=ref.adapter, revision=ref.digest, reason=error.reason())
        log.info("node_filled", wanted=len(wanted), resident=len(self._slots.resident))

    async def _asked(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What the catalogue says; None where it cannot be reached, which is logged once."""
        try:
            answer = await asyncio.to_thread(question, *args, **kwargs)
        except CatalogueUnavailable:
            if self._reachable:
                log.warning("catalogue_unreachable")
            self._reachable = False
            return None
        self._reachable = True
        return answer

    def _wanted(self) -> tuple[RevisionRef, ...]:
        """What the node last reported, else its share of the newest revisions."""
        listed = self._catalogue.nodes.list()
        self._warn_of_namesake(listed)
        before = self._catalogue.nodes.residents(self._identity.id)
        if before:
            return before[-self._identity.slots :]
        nodes: list[Node | Identity] = [*self._others(listed), self._identity]
        newest = self._catalogue.revisions.current(self._identity.base_model, self._identity.slots * len(nodes))
        mine = [ref for ref in newest if self._identity in place(ref.digest, nodes, 1)]
        return tuple(mine[: self._identity.slots])

    def _warn_of_namesake(self, listed: Sequence[Node]) -> None:
        """Two living engines of one name report in each other's place, and a deletion reaches one of them."""
        for node in listed:
            alive = is_alive(node, self._node_timeout_seconds)
            if alive and node.id == self._identity.id and node.address != self._address:
                log.warning("node_name_taken", node=node.id, address=node.address)

    def _others(self, listed: Sequence[Node]) -> list[Node]:
        others = (node for node in listed if node.id != self._identity.id)
        base = self._identity.base_model_revision
        return usable(others, silent_below_seconds=self._node_timeout_seconds, base_model_revision=base)

    def _report(self, resident: Sequence[RevisionRef]) -> None:
        self._catalogue.nodes.report(
            self._identity.id,
            address=self._address,
            base_model=self._identity.base_model,
            base_model_revision=self._identity.base_model_revision,
            slots=self._identity.slots,
            answers_at_once=self._identity.answers_at_once,
            resident=resident,
        )
