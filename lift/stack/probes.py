"""Asks a process whether it can do its work."""

import socket
import urllib.request
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import grpc

SECONDS = 2.0
_SERVING = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse(status=SERVING)


class ProbeKind(StrEnum):
    """How a process is asked."""

    VALKEY = "valkey"
    HTTP = "http"
    GRPC = "grpc"
    FILE = "file"
    EXIT = "exit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How to tell that a process is ready.

    `target` is host:port of a Valkey or gRPC server; URLs with spaces between them; for FILE, what the process creates
    when it is ready. EXIT: it is ready when it has ended well.
    """

    kind: ProbeKind
    target: str = ""


def answers(probe: Probe) -> bool:
    """Whether the process answers now. One that is asked by its exit cannot be asked again: true."""
    match probe.kind:
        case ProbeKind.VALKEY:
            return _valkey_answers(probe.target)
        case ProbeKind.HTTP:
            return all(map(_http_answers, probe.target.split()))
        case ProbeKind.GRPC:
            return _grpc_answers(probe.target)
        case ProbeKind.FILE:
            return Path(probe.target).exists()
        case _:
            return True


def _valkey_answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


def _http_answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as response:  # noqa: S310 - our own URL, http on this machine
            return bool(response.status == 200)
    except OSError:
        return False


def _grpc_answers(address: str) -> bool:
    # By hand, in bytes: clients install no health-checking package.
    with grpc.insecure_channel(address) as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            return check(b"", timeout=SECONDS) == _SERVING
        except grpc.RpcError:
            return False
