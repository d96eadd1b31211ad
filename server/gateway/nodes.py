"""Turns the catalogue's list of nodes into open channels to the engines that can be asked now."""

import asyncio
import time
from collections.abc import Sequence

import grpc

from lift.internal.v1 import engine_pb2_grpc
from storage.catalogue import Catalogue
from storage.placement import is_alive, usable
from storage.records import Node

CACHE_SECONDS = 1.0
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # An engine that was restarted is found again within a second, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class Nodes:
    """The engines, as the catalogue knows them (for CACHE_SECONDS), and one channel to each."""

    def __init__(self, catalogue: Catalogue, *, node_token: str, timeout_seconds: float) -> None:
        self._catalogue = catalogue
        self._timeout_seconds = timeout_seconds
        self._known: Sequence[Node] = ()
        self._known_until = 0.0
        self._channels: dict[str, grpc.aio.Channel] = {}
        self.metadata = (("authorization", f"Bearer {node_token}"),)

    async def alive(self) -> list[Node]:
        """Those that report, draining ones too."""
        return [node for node in await self._listed() if is_alive(node, self._timeout_seconds)]

    async def usable(self) -> list[Node]:
        """Those that can be asked now."""
        return usable(await self._listed(), silent_below_seconds=self._timeout_seconds)

    def engine(self, node: Node) -> "engine_pb2_grpc.EngineServiceAsyncStub":
        """The engine's service."""
        if node.address not in self._channels:
            self._channels[node.address] = grpc.aio.insecure_channel(node.address, options=CHANNEL_OPTIONS)
        return engine_pb2_grpc.EngineServiceStub(self._channels[node.address])

    async def close(self) -> None:
        """Closes every channel."""
        await self._close(set(self._channels))

    async def _listed(self) -> Sequence[Node]:
        if self._known_until < time.monotonic():
            self._known = await asyncio.to_thread(self._catalogue.nodes.list)
            self._known_until = time.monotonic() + CACHE_SECONDS
            await self._close(self._channels.keys() - {node.address for node in self._known})
        return self._known

    async def _close(self, addresses: set[str]) -> None:
        closing = [self._channels.pop(address) for address in addresses if address in self._channels]
        for channel in closing:  # out of the dictionary first: another call may close the same ones meanwhile
            await channel.close()
