"""Keeps what is on this machine out of a proxy's way, which leads out of it."""

import os
from ipaddress import ip_address

THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def pass_by() -> None:
    """Has this process, and those that it starts, reach this machine past any proxy that the environment names.

    gRPC, httpx and urllib go by the list in NO_PROXY; where it is in small letters too, by that alone.
    """
    if any(name.lower().endswith("_proxy") for name in os.environ):
        listed = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(",")
        once = dict.fromkeys(filter(None, (*listed, *THIS_MACHINE)))  # whoever started this process may have added them
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(once)


def is_here(address: str) -> bool:
    """Whether an address, host:port, is of this machine by its look."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
