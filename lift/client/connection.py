"""Turns arguments, the environment and the state folder's client file into where to connect and with which key."""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lift.errors import CredentialMissing, CredentialWrong, GatewayUnavailable
from lift.kept import write_privately
from lift.proxies import is_here

CLIENT_FILE = "client.json"

IDEMPOTENT = {
    "lift.v1.DocumentService": ("CreateDocument", "UploadDocument", "GetDocument", "ListDocuments"),
    "lift.v1.AdapterService": (
        "CreateAdapter",
        "GetAdapter",
        "ListAdapters",
        "RetrainAdapter",
        "ListRevisions",
        "ListSentences",
        "RollbackAdapter",
        "WatchOperation",
        "DownloadRevision",
    ),
    "lift.v1.QueryService": ("Query", "StreamQuery"),
    "google.longrunning.Operations": ("GetOperation", "ListOperations", "CancelOperation"),
    "lift.v1.AdminService": (
        "GetTenant",
        "ListTenants",
        "UpdateTenant",
        "ListKeys",
        "ListJobs",
        "CancelJob",
        "ListNodes",
        "DrainNode",
    ),
}
"""What may be sent twice: reads, writes that end in the same state, and creations, which carry a request id."""

RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.2s",
    "maxBackoff": "3s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
RETRY_BUFFER_BYTES = 32 << 20  # an upload of up to this size is sent again


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFile:
    """What `lift up` leaves in its state folder for clients."""

    address: str
    key: str
    http_url: str
    admin_address: str
    operator_key: str

    @classmethod
    def read(cls, state_dir: Path) -> "ClientFile | None":
        """The file's content; None where there is none. GatewayUnavailable: it is damaged, or of another version."""
        file = state_dir / CLIENT_FILE
        try:
            content = json.loads(file.read_text())
            # By hand: pydantic would be a third of what a short command takes to start.
            return cls(**{field.name: str(content[field.name]) for field in fields(cls)})
        except FileNotFoundError:
            return None
        except (ValueError, LookupError, TypeError):
            problem = "damaged, or of another version; `lift up` writes it anew"
            raise GatewayUnavailable(file=str(file), problem=problem) from None  # JSON's error holds the keys

    def write(self, state_dir: Path) -> None:
        """Writes it for this user's eyes only."""
        write_privately(state_dir / CLIENT_FILE, json.dumps(asdict(self), indent=2) + "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A gateway's address, host:port, and the key to show it."""

    address: str
    key: str

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What proves to the gateway who calls."""
        return (("authorization", f"Bearer {self.key}"),)

    @property
    def channel_options(self) -> list[tuple[str, Any]]:
        """gRPC's own retries, a keepalive that notices a gateway that vanished, and no proxy on this machine."""
        names = [
            {"service": service, "method": method} for service, methods in IDEMPOTENT.items() for method in methods
        ]
        return [
            ("grpc.service_config", json.dumps({"methodConfig": [{"name": names, "retryPolicy": RETRY}]})),
            ("grpc.per_rpc_retry_buffer_size", RETRY_BUFFER_BYTES),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.enable_http_proxy", int(not is_here(self.address))),
        ]


def tenant_connection(address: str | None, key: str | None, state_dir: Path | None) -> Connection:
    """From arguments, else LIFT_ADDRESS and LIFT_KEY, else the client file of `state_dir`, LIFT_STATE_DIR or .lift.

    GatewayUnavailable, CredentialMissing: none of them says. CredentialWrong: no key looks so.
    """
    file = _client_file(state_dir)
    return _connection(address, key, ("LIFT_ADDRESS", "LIFT_KEY"), (file.address, file.key) if file else None)


def operator_connection(address: str | None, key: str | None, state_dir: Path | None) -> Connection:
    """As `tenant_connection`, from LIFT_ADMIN_ADDRESS and LIFT_OPERATOR_KEY."""
    file = _client_file(state_dir)
    filed = (file.admin_address, file.operator_key) if file else None
    return _connection(address, key, ("LIFT_ADMIN_ADDRESS", "LIFT_OPERATOR_KEY"), filed)


def _client_file(state_dir: Path | None) -> ClientFile | None:
    return ClientFile.read(state_dir or Path(os.environ.get("LIFT_STATE_DIR", ".lift")))


def _connection(
    address: str | None, key: str | None, variables: tuple[str, str], filed: tuple[str, str] | None
) -> Connection:
    of_address, of_key = variables
    filed_address, filed_key = filed or (None, None)
    address = address or os.environ.get(of_address) or filed_address
    if not address:
        raise GatewayUnavailable(needs=f"an address ({of_address}), or a state folder where `lift up` ran")
    # The file's key is for the file's gateway alone: nobody else is shown it.
    key = (key or os.environ.get(of_key) or (filed_key if address == filed_address else None) or "").strip()
    if not key:
        raise CredentialMissing(address=address, needs=of_key)
    if not (key.isascii() and key.isprintable()):  # gRPC would say something else about it, and more
        raise CredentialWrong(address=address, problem="it holds what no key does")
    return Connection(address=address, key=key)
