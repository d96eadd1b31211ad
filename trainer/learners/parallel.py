"""Turns every step into joint work of several processes, a device for each, over copies of one frozen base model.

Process 0 is the trainer's own: it reads pairs, and tells the others through their standard input, one JSON object a
line, which adapters there are and what their shares of the next step are. Of the loss's gradient

    g = Σ_i n_i g_i / Σ_i n_i        g_i: of process i's mean over its n_i answer tokens (LIFT eq. 1)

each process makes its summand; an all-reduce adds them up, and all make the same update, so that no weights are sent.
Where one process fails in its share, none updates. A process that fails, is gone or silent ends the group; the next
adapter gets a new one.

`python -m trainer.learners.parallel` is a process that is not process 0.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Self

import structlog
import torch
import torch.distributed as dist

from lift import logs
from lift.errors import InvalidOption, LiftError, WorkerLost
from trainer import base_model
from trainer.base_model import BaseModel
from trainer.examples.batches import Example
from trainer.learners.fused import FusedAdapter, FusedLearner, Step
from trainer.learners.primer import Primer
from trainer.learners.spectra import KeptSpectra
from trainer.profiles import Hyperparameters

HOST = "127.0.0.1"
INTERFACE = "lo"  # of HOST
TIMEOUT_SECONDS = 120.0  # shares of a step differ by less than that
BACKEND = "cpu:gloo,cuda:nccl"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What a further process needs to know: the base model as process 0 has it, and its place in the group."""

    base_model: str
    device: str
    threads: int
    dtype: str
    number: int
    processes: int
    port: int = 0
    timeout_seconds: float = TIMEOUT_SECONDS

    @classmethod
    def beside(cls, base: BaseModel, devices: int, timeout_seconds: float = TIMEOUT_SECONDS) -> list[Self]:
        """Those of all devices but the first, which has the base model. InvalidOption: there are not so many."""
        on_gpu = base.model.device.type == "cuda"
        if on_gpu and devices > torch.cuda.device_count():
            expected = f"at most {torch.cuda.device_count()}, the GPUs of this machine"
            raise InvalidOption(option="trainer.devices", value=devices, expected=expected)
        return [
            cls(
                base_model=base.name,
                device=f"cuda:{number}" if on_gpu else "cpu",
                threads=torch.get_num_threads(),
                dtype=str(base.model.dtype).removeprefix("torch."),
                number=number,
                processes=devices,
                timeout_seconds=timeout_seconds,
            )
            for number in range(1, devices)
        ]


class ShareFailed(Exception):
    """Another process could not compute its share of a step."""


class ParallelLearner(FusedLearner):
    """A fast learner whose steps are made by several processes; whoever has its adapters need not know."""

    def __init__(self, model: Any, workers: Sequence[Worker], kept: Callable[[], KeptSpectra] | None = None) -> None:
        """`model` and `kept`: as FusedLearner takes them, on the first device; `workers`: the other processes.

        Those read the spectra from the file that this process keeps them in.
        """
        super().__init__(model, kept)
        self._workers = workers
        self._group: _Group | None = None
        self._numbers: dict[FusedAdapter, tuple[_Group, int]] = {}
        self._count = 0
        self._turn = threading.Lock()  # collectives must have one order in all processes

    @contextmanager
    def adapter(self, hyperparameters: Hyperparameters, primer: Primer | None = None) -> Iterator[FusedAdapter]:
        """LoRA weights for the length of the block, the same in all processes. WorkerLost.

        They are fresh, or begun at a primer, which all read from its folder.
        """
        with super().adapter(hyperparameters, primer) as adapter:
            with self._turn, self._disbanding():
                self._group = self._group or _Group.of(self._workers)
                self._count += 1
                spectra = str(self._kept().file) if self._kept and hyperparameters.whitening else ""
                begun = str(primer.folder) if primer else ""
                self._group.tell_all(
                    adapter=self._count, hyperparameters=asdict(hyperparameters), spectra=spectra, primer=begun
                )
                self._numbers[adapter] = self._group, self._count
            try:
                yield adapter
            finally:
                with self._turn:
                    group, number = self._numbers.pop(adapter)
                    if group is self._group:
                        with suppress(WorkerLost):  # the next step will say so
                            group.tell_all(drop=number)

    def step(self, steps: Sequence[Step]) -> list[float]:
        """Makes steps of several adapters as one process would. WorkerLost."""
        with self._turn:
            group = self._group
            if group is None or any(self._numbers[step.adapter][0] is not group for step in steps):
                raise WorkerLost(problem="it was lost in an earlier step")
            with self._disbanding():
                return self._step(group, steps)

    def _step(self, group: "_Group", steps: Sequence[Step]) -> list[float]:
        shares = [shared_out(step.examples, group.processes) for step in steps]
        wholes = [step.answer_tokens for step in steps]
        numbers = [self._numbers[step.adapter][1] for step in steps]
        lefts = [step.left for step in steps]
        for process in range(1, group.processes):
            parts = [[asdict(example) for example in share[process]] for share in shares]
            group.tell(process, step=list(zip(numbers, parts, wholes, lefts, strict=True)))
        own = [replace(step, examples=share[0]) for step, share in zip(steps, shares, strict=True)]
        return step_together(self, own, wholes)

    def close(self) -> None:
        """Ends the other processes."""
        with self._turn:
            self._disband()

    @contextmanager
    def _disbanding(self) -> Iterator[None]:
        try:
            yield
        except WorkerLost:
            self._disband()
            raise
        except ShareFailed as failed:
            self._disband()
            raise WorkerLost(problem="it failed in its share of a step") from failed

    def _disband(self) -> None:
        group, self._group = self._group, None
        if group is not None:
            group.close()


class _Group:
    """The other processes, as process 0 sees them."""

    def __init__(self, processes: Sequence["subprocess.Popen[str]"], timeout_seconds: float) -> None:
        self._others = processes
        self._timeout_seconds = timeout_seconds
        self.processes = len(processes) + 1

    @classmethod
    def of(cls, workers: Sequence[Worker]) -> Self:
        """Starts the processes, and returns when all have loaded the base model and joined. WorkerLost."""
        store = _store()
        command = [sys.executable, "-m", "trainer.learners.parallel"]
        group = cls(
            [
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
                for _ in workers
            ],
            workers[0].timeout_seconds,
        )
        try:
            for worker in workers:
                group.tell(worker.number, **asdict(replace(worker, port=store.port)))
            for worker in workers:
                group.await_readiness(worker.number)
            with lost_where_silent():
                _join(store, 0, group.processes, workers[0].timeout_seconds)
        except BaseException:
            group.close()
            raise
        log.info("processes_joined", processes=group.processes)
        return group

    def tell_all(self, **message: Any) -> None:
        """Tells every other process the same. WorkerLost."""
        for process in range(1, self.processes):
            self.tell(process, **message)

    def tell(self, process: int, **message: Any) -> None:
        """WorkerLost: it does not listen any more."""
        other = self._others[process - 1]
        limit = threading.Timer(self._timeout_seconds, other.kill)  # a write to a full pipe has no limit of its own
        limit.start()
        try:
            if other.stdin is not None:
                other.stdin.write(json.dumps(message) + "\n")
        except OSError as error:
            raise WorkerLost(problem="it is gone, or did not listen in time", process=process) from error
        finally:
            limit.cancel()

    def await_readiness(self, process: int) -> None:
        """Returns when the process has loaded the base model. WorkerLost: it ended instead."""
        said = self._others[process - 1].stdout
        if said is None or not said.readline():
            raise WorkerLost(process=process, problem="it ended while it started")

    def close(self) -> None:
        """Ends the processes and the group."""
        for process in self._others:
            process.kill()
            with suppress(OSError):
                process.communicate()
        if dist.is_initialized():
            dist.destroy_process_group()


def shared_out(examples: Sequence[Example], processes: int) -> list[list[Example]]:
    """The examples of each process: as many as of the others, and about as long."""
    by_length = sorted(examples, key=lambda example: len(example.tokens))
    return [by_length[process::processes] for process in range(processes)]


def step_together(learner: FusedLearner, own: Sequence[Step], wholes: Sequence[int]) -> list[float]:
    """Steps of several adapters, in which every process calls this with its own share; the losses of the whole.

    `wholes`: of each adapter, the answer tokens of all shares. ShareFailed: that of another process, so that nobody
    updates. WorkerLost: another process is gone.
    """
    failure: Exception | None = None
    losses = [0.0] * len(own)
    try:
        losses = learner.accumulate(own, wholes)
    except Exception as error:
        failure = error
    totals = torch.tensor([float(failure is not None), *losses], dtype=torch.float64)
    with lost_where_silent():
        dist.all_reduce(totals)
    failures, *sums = totals.tolist()
    if failure is not None:
        raise failure
    if failures:
        raise ShareFailed
    with lost_where_silent():
        for step in own:
            dist.all_reduce(step.adapter.lora.gradients)
    for step in own:
        step.adapter.lora.update(step.left)
    return sums


@contextmanager
def lost_where_silent() -> Iterator[None]:
    """WorkerLost in place of what torch.distributed raises where a process is gone, or says nothing in time."""
    try:
        yield
    except RuntimeError as error:
        raise WorkerLost(problem="it is gone, or said nothing in time") from error


def _store(port: int = 0) -> Any:
    """Where the processes find each other; the first one makes it, at any port that is free.

    The first one hands over a socket that is bound: torch's own would listen to every network.
    """
    if port:
        return dist.TCPStore(HOST, port, is_master=False, wait_for_workers=False)  # type: ignore[attr-defined]
    listening = socket.create_server((HOST, 0))
    port, file = listening.getsockname()[1], listening.detach()
    return dist.TCPStore(  # type: ignore[attr-defined]
        HOST, port, is_master=True, wait_for_workers=False, master_listen_fd=file
    )


def _join(store: Any, number: int, processes: int, timeout_seconds: float) -> None:
    backend = BACKEND if torch.cuda.is_available() else "gloo"
    timeout = timedelta(seconds=timeout_seconds)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", INTERFACE)
    dist.init_process_group(backend, store=store, rank=number, world_size=processes, timeout=timeout)


class Follower:
    """A process that is not process 0, over its own copy of the base model."""

    def __init__(self, base: BaseModel) -> None:
        self._spectra_file = Path()
        read = cache(KeptSpectra.read)  # the file is the same for every adapter, as is the primer's folder
        self._read_primer = cache(lambda folder: Primer.read(Path(folder), base.folder) if folder else None)
        self._learner = FusedLearner(base.model, lambda: read(self._spectra_file))
        self._adapters: dict[int, FusedAdapter] = {}
        self._held: dict[int, ExitStack] = {}

    def follow(self, messages: Iterable[str]) -> None:
        """Does what process 0 says, until it says no more."""
        for message in messages:
            match json.loads(message):
                case {"adapter": number, "hyperparameters": chosen, "spectra": file, "primer": folder}:
                    self._spectra_file = Path(file)
                    self._held[number] = ExitStack()
                    block = self._learner.adapter(Hyperparameters(**chosen), self._read_primer(folder))
                    self._adapters[number] = self._held[number].enter_context(block)
                case {"drop": number}:
                    del self._adapters[number]
                    self._held.pop(number).close()
                case {"step": parts}:
                    self._step(parts)

    def _step(self, parts: Sequence[Any]) -> None:
        """`parts`: number, share of the examples, answer tokens of all shares, and `left` of each adapter."""
        own = [
            Step(self._adapters[number], [Example.parsed(example) for example in share], left)
            for number, share, _, left in parts
        ]
        with suppress(ShareFailed):  # nobody has made the step: process 0 knows, and decides
            step_together(self._learner, own, [whole for _, _, whole, _ in parts])


def main() -> None:
    """Standard input: what the process is, then what it is to do. It says one line: that the base model is loaded."""
    logs.configure(role="trainer")
    worker = Worker(**json.loads(sys.stdin.readline()))
    try:
        base = base_model.load(worker.base_model, worker.device, worker.threads, worker.dtype)
        if base.model.device.type == "cuda":
            torch.cuda.set_device(base.model.device)
        follower = Follower(base)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        store = _store(worker.port)
        _join(store, worker.number, worker.processes, worker.timeout_seconds)
        follower.follow(sys.stdin)
    except LiftError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
