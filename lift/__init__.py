"""Documents become LoRA adapters; questions are answered from them. `Client` and `AsyncClient` are the way in."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lift.client import AdminClient as AdminClient
    from lift.client import AsyncClient as AsyncClient
    from lift.client import Client as Client

__all__ = ["AdminClient", "AsyncClient", "Client"]


def __getattr__(name: str) -> Any:
    # Imported at first use: a server process, or `lift --help`, needs no client.
    if name not in __all__:
        raise AttributeError(f"module 'lift' has no attribute {name!r}")
    from lift import client

    return getattr(client, name)
