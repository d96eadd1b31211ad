"""Turns a state folder and what the user set into the settings of the embedded stack, ports and secrets included."""

import os
import random
import secrets
import socket
import tomllib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import EnvSettingsSource

from lift.errors import InvalidOption, StackFailed
from lift.kept import write_privately
from lift.settings import LOCAL, Settings
from lift.stack.folder import StateFolder
from lift.toml import revealed, to_toml
from lift.writing import WRITER

PORTS = (
    "gateway",
    "admin",
    "http",
    "gateway_metrics",
    "generator",
    "generator_metrics",
    "trainer_metrics",
    "engine",
    "engine_http",
    "engine_metrics",
    "valkey",
    "s3",
    "s3.grpc",
    "master",
    "master.grpc",
    "volume",
    "volume.grpc",
    "filer",
    "filer.grpc",
)
FRESH_PORTS = range(20_000, 32_000)  # below those that Linux, macOS and Windows give away on their own
FRESH_TRIES = 100
WEED_KEYS = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
"""SeaweedFS's names for what its own parts show each other; without them its filer takes everybody's calls."""
SECRETS = ("node_token", "operator_key", "s3", "valkey", *WEED_KEYS)
EMBEDDED_MODEL = "smollm2-135m-instruct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The settings of every role, the ports of everything, and which parts are ours to start."""

    settings: Settings
    ports: Mapping[str, int]
    secrets: Mapping[str, str]
    own_queue: bool
    own_objects: bool
    own_model: bool


class _Assigned(BaseModel):
    """The content of assigned.json."""

    ports: dict[str, int]
    secrets: dict[str, str]


def configure(state: StateFolder) -> Configuration:
    """What a stack in this folder runs with; written to the folder for its processes.

    What the user set, in the file that LIFT_CONFIG names or in LIFT_* variables, goes before what the stack would
    choose: a queue or an object store of the user's is used as it is. InvalidOption: something that was set cannot be.
    StackFailed: the ports and secrets of last time are damaged. OSError.
    """
    ports, secret = _assigned(state)
    user = _set_by_user(state)
    settings = Settings.read(**_merged(_embedded(state, ports, secret, user), user))
    write_privately(state.config, to_toml(revealed(settings)))
    return Configuration(
        settings=settings,
        ports=ports,
        secrets=secret,
        own_queue="url" not in user.get("queue", {}),
        own_objects="endpoint" not in user.get("objects", {}),
        own_model="base_model" not in user.get("model", {}),
    )


def local(host: str) -> str:
    """Where this machine reaches a server that listens on `host`."""
    return "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 - compared, not bound


def _embedded(
    state: StateFolder, ports: Mapping[str, int], secret: Mapping[str, str], user: Mapping[str, Any]
) -> dict[str, Any]:
    """What the stack chooses. Where one setting follows from another, the user's counts."""
    engine = user.get("engine", {})
    engine_host, engine_http_host = local(engine.get("host", "")), local(engine.get("http_host", ""))
    generator = user.get("generator", {})
    node_token = user.get("node_token", secret["node_token"])
    has_own_model = "base_model" in user.get("model", {})  # writer and primer are adapters of the embedded one
    writer = "" if has_own_model else shipped("generator", "question_writer")
    primer = user.get("trainer", {}).get("primer", "" if has_own_model else shipped("trainer", "primers"))
    asks_own_engine = "endpoint" not in generator
    return {
        "state_dir": str(state.path),
        "node_token": node_token,
        "catalogue": {"url": f"sqlite:///{state.catalogue}"},
        "objects": {"endpoint": f"127.0.0.1:{ports['s3']}", "secret_key": secret["s3"]},
        "queue": {"url": f"redis://:{secret['valkey']}@127.0.0.1:{ports['valkey']}/0"},
        "model": {"base_model": str(state.models / EMBEDDED_MODEL)},
        "gateway": {
            "port": ports["gateway"],
            "admin_port": ports["admin"],
            "http_port": ports["http"],
            "operator_key": secret["operator_key"],
            **_metrics(ports["gateway_metrics"]),
        },
        "generator": {
            "port": ports["generator"],
            "address": f"{local(generator.get('host', ''))}:{generator.get('port', ports['generator'])}",
            "endpoint": f"http://{engine_http_host}:{engine.get('http_port', ports['engine_http'])}/v1",
            "api_key": node_token,
            "strategy": "grounded+raw",
            "writer": WRITER if engine.get("writer", writer) and asks_own_engine else "",
            **_metrics(ports["generator_metrics"]),
        },
        "trainer": {
            "profile": "primed" if primer else "embedded",
            "primer": primer,
            "devices": 0,
            **_metrics(ports["trainer_metrics"]),
        },
        "engine": {
            "port": ports["engine"],
            "http_port": ports["engine_http"],
            "address": f"{engine_host}:{engine.get('port', ports['engine'])}",
            "writer": writer,
            **_metrics(ports["engine_metrics"]),
        },
    }


def _metrics(port: int) -> dict[str, Any]:
    return {"metrics_host": LOCAL, "metrics_port": port}


def shipped(package: str, kind: str) -> str:
    """The folder of the embedded model's adapter of a kind; empty where the package is installed without it."""
    found = find_spec(package)
    folders = found.submodule_search_locations if found else None
    adapter = Path(folders[0]) / kind / EMBEDDED_MODEL if folders else None
    return str(adapter) if adapter and adapter.is_dir() else ""


def _set_by_user(state: StateFolder) -> dict[str, Any]:
    file = os.environ.get("LIFT_CONFIG")
    content: dict[str, Any] = {}
    if file and Path(file).resolve() != state.config.resolve():
        try:
            content = tomllib.loads(Path(file).read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise InvalidOption(option="LIFT_CONFIG", value=file, problem=str(error)) from error
    variables = EnvSettingsSource(Settings)()
    variables.pop("state_dir", None)  # the command line's, by now
    return _merged(content, variables)


def _assigned(state: StateFolder) -> tuple[dict[str, int], dict[str, str]]:
    """The ports and secrets of last time, as far as the ports are still free: clients find the stack where it was."""
    last = _last_assigned(state)
    ports = _free_ports(last.ports)
    secret = {name: last.secrets.get(name) or secrets.token_urlsafe(32) for name in SECRETS}
    write_privately(state.assigned, _Assigned(ports=ports, secrets=secret).model_dump_json(indent=2) + "\n")
    return ports, secret


def _last_assigned(state: StateFolder) -> _Assigned:
    try:
        return _Assigned.model_validate_json(state.assigned.read_bytes())
    except FileNotFoundError:
        return _Assigned(ports={}, secrets={})
    except ValidationError:
        problem = "damaged; where it is deleted, ports and secrets are chosen anew"
        raise StackFailed(file=str(state.assigned), problem=problem) from None  # pydantic's error quotes secrets


def _free_ports(wanted: Mapping[str, int]) -> dict[str, int]:
    """A free port for each name: the wanted one where it is free."""
    with ExitStack() as bound:  # all are held until all are found, the wanted ones first
        kept = {name: _bound(bound, wanted[name]) for name in PORTS if name in wanted}
        return {name: kept.get(name) or _fresh(bound) for name in PORTS}


def _fresh(bound: ExitStack) -> int:
    """A free port, held, of those that no system gives to connections and to whoever asks for any."""
    ports = random.sample(FRESH_PORTS, FRESH_TRIES)
    return next(filter(None, (_bound(bound, port) for port in ports)), 0) or _bound(bound, 0)


def _bound(bound: ExitStack, port: int) -> int:
    """The port, held; 0 where another process has it."""
    try:
        held = bound.enter_context(socket.create_server(("127.0.0.1", port)))
    except OSError:
        return 0
    return int(held.getsockname()[1])


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        name: _merged(below[name], above[name]) for name in below.keys() & above.keys() if _tables(below, above, name)
    }
    return {**below, **above, **both}


def _tables(below: Mapping[str, Any], above: Mapping[str, Any], name: str) -> bool:
    return isinstance(below[name], Mapping) and isinstance(above[name], Mapping)
