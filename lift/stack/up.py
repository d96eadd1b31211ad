"""Turns a state folder into a running stack, and serves until it is told to stop."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from lift.client import AdminClient, AsyncClient, Client
from lift.client.connection import ClientFile
from lift.errors import GatewayUnavailable, StackFailed, TenantExists, Unauthenticated, Unavailable
from lift.stack import record
from lift.stack.children import Program
from lift.stack.configuration import Configuration, configure, local
from lift.stack.folder import StateFolder, held
from lift.stack.guard import end_groups, start_ticks
from lift.stack.logfiles import rotate
from lift.stack.programs import programs
from lift.stack.record import ProcessRecord, StackRecord
from lift.stack.supervisor import Supervisor

log = structlog.get_logger()

TENANT = "default"
FIRST_ANSWER_SECONDS = 120.0
RETRY_SECONDS = 0.2
RECORD_RETRY_SECONDS = 5.0


def up(state: StateFolder, ready: Callable[[ClientFile], None]) -> None:
    """Runs the stack until SIGTERM, SIGINT or SIGHUP; calls `ready` once a query has been answered.

    StackRunning: another supervisor has the folder. StackFailed: a process did not start; everything is stopped again.
    """
    state.make()
    with held(state):
        _end_leftovers(state)
        configuration = configure(state)
        run = programs(state, configuration)
        for program in run:
            rotate(program.log)
        asyncio.run(_serve(state, configuration, run, ready))


async def _serve(
    state: StateFolder, configuration: Configuration, run: Sequence[Program], ready: Callable[[ClientFile], None]
) -> None:
    told_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)
    recorder = _Recorder(state)
    async with Supervisor(run, recorder.processes) as supervisor:
        serving = asyncio.create_task(_serving(state, configuration, supervisor, recorder, ready))
        stopping = asyncio.create_task(told_to_stop.wait())
        try:
            await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
        except StackFailed as error:
            recorder.failed(error)
            raise
        finally:
            recorder.ready(False)
            serving.cancel()
            stopping.cancel()
            log.info("stack_stopping")
    log.info("stack_stopped")


async def _serving(
    state: StateFolder,
    configuration: Configuration,
    supervisor: Supervisor,
    recorder: "_Recorder",
    ready: Callable[[ClientFile], None],
) -> None:
    await supervisor.ready()
    client_file = await asyncio.to_thread(_first_tenant, state, configuration)
    await _first_answer(client_file)
    recorder.ready(True)
    log.info("stack_ready", address=client_file.address, http=client_file.http_url)
    ready(client_file)
    await supervisor.failed()


def _first_tenant(state: StateFolder, configuration: Configuration) -> ClientFile:
    """A tenant and its key for the command line and the examples; last time's where it still works."""
    gateway = configuration.settings.gateway
    address, operator_key = f"{local(gateway.host)}:{gateway.port}", gateway.operator_key.get_secret_value()
    admin_address = f"{local(gateway.admin_host)}:{gateway.admin_port}"
    last = _last_client_file(state)
    key = last.key if last and _works(address, last.key) else _new_key(admin_address, operator_key)
    client_file = ClientFile(
        address=address,
        key=key,
        http_url=f"http://{local(gateway.http_host)}:{gateway.http_port}/v1",
        admin_address=admin_address,
        operator_key=operator_key,
    )
    client_file.write(state.path)
    return client_file


def _last_client_file(state: StateFolder) -> ClientFile | None:
    try:
        return ClientFile.read(state.path)
    except GatewayUnavailable as error:
        log.warning("client_file_replaced", problem=str(error))
        return None


def _works(address: str, key: str) -> bool:
    with Client(address, key) as client:
        try:
            next(client.documents.list(), None)
        except Unauthenticated:
            return False
    return True


def _new_key(admin_address: str, operator_key: str) -> str:
    with AdminClient(admin_address, operator_key) as admin:
        with suppress(TenantExists):
            admin.tenants.create(TENANT, title="The tenant of this stack")
        return admin.keys.create(TENANT, title="lift up").secret


async def _first_answer(client_file: ClientFile) -> None:
    """Returns once the base model has answered through the gateway. StackFailed: it does not."""
    until = time.monotonic() + FIRST_ANSWER_SECONDS
    async with AsyncClient(client_file.address, client_file.key) as client:
        while True:
            try:
                await client.query(None, "What is two plus two?", max_tokens=2, timeout_seconds=60)
                return
            except Unavailable as error:
                if time.monotonic() > until:
                    raise StackFailed(process="engine", problem=str(error)) from error
                await asyncio.sleep(RETRY_SECONDS)


class _Recorder:
    """Keeps stack.json as the stack is; where it cannot be written, the stack goes on and it is tried again later."""

    def __init__(self, state: StateFolder) -> None:
        self._path = state.record
        self._again: asyncio.TimerHandle | None = None
        self._record = StackRecord(supervisor=os.getpid(), ready=False, processes=())

    def processes(self, processes: tuple[ProcessRecord, ...]) -> None:
        """They changed."""
        self._write(replace(self._record, processes=processes))

    def ready(self, ready: bool) -> None:
        """The stack answers, or no longer."""
        self._write(replace(self._record, ready=ready))

    def failed(self, error: StackFailed) -> None:
        """The start failed."""
        self._write(replace(self._record, failure=error.facts))

    def _write(self, content: StackRecord) -> None:
        self._record = content
        if self._again is not None:
            self._again.cancel()
        try:
            record.write(self._path, content)
        except OSError as error:
            log.error("record_not_written", error=str(error))
            self._again = asyncio.get_running_loop().call_later(RECORD_RETRY_SECONDS, self._write, content)


def _end_leftovers(state: StateFolder) -> None:
    """Ends what a supervisor left that was killed together with its guard."""
    last = record.read(state.record)
    recorded = {process.pid: process.start_ticks for process in last.processes if process.pid} if last else {}
    # A pid alone proves nothing: it may be another's by now.
    groups = {pid: ticks for pid, ticks in recorded.items() if start_ticks(pid) == ticks}
    if ended := end_groups(groups, grace_seconds=2):
        log.warning("leftovers_ended", groups=len(ended))
    state.record.unlink(missing_ok=True)
