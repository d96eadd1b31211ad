"""Records the kernels of a pass on a GPU, and replays them for the next pass of the same layout.

Python needs about 0.2 s to launch the 2,700 kernels of a pass through an 8B model one by one, which is longer than an
H100 needs to run them for 128 pairs (docs/why.md). As a CUDA graph they are launched at once.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from trainer.frozen import Turns
from trainer.prefixes import Forest

RECORDINGS = 64  # of an adapter; a job's batches have about twenty layouts

Layout: TypeAlias = tuple[torch.Size, ...]


@dataclass(frozen=True, slots=True)
class _Recording:
    """A graph, the memory that it reads and what it writes."""

    graph: Any
    forest: Forest
    turns: Turns
    losses: Tensor

    def replayed(self, grown: Forest, turns: Turns) -> Tensor:
        """What the pass makes of a forest of the same layout."""
        read, wanted = self.forest.tensors(), grown.tensors()
        for name, tensor in wanted.items():
            read[name].copy_(tensor)
        for mine, turn in zip(self.turns, turns, strict=True):
            mine.copy_(turn)
        self.graph.replay()
        return self.losses.clone()


class RecordedPasses:
    """Passes of one adapter.

    A layout's first pass runs as it is, which compiles what it needs; its second is recorded.
    """

    def __init__(
        self, device: torch.device, run: Callable[[Forest, Turns], Tensor], turns: Callable[[Tensor], Turns]
    ) -> None:
        """`run` makes a pass: it adds to gradients that stay where they are, and gives the losses."""
        self._device = device
        self._run = run
        self._turns = turns
        self._recordings: OrderedDict[Layout, _Recording | None] = OrderedDict()
        self._pool: Any = None

    def __call__(self, grown: Forest) -> Tensor:
        """The pass of a forest of one adapter, which is not on the GPU yet; behind the answers' losses stand more."""
        with torch.cuda.device(self._device):
            here = grown.padded().to(self._device)
            turns = self._turns(here.positions)
            layout = tuple(tensor.shape for tensor in here.tensors().values())
            if layout not in self._recordings:
                self._recordings[layout] = None
                if len(self._recordings) > RECORDINGS:
                    self._recordings.popitem(last=False)
                return self._run(here, turns)
            recording = self._recordings[layout] = self._recordings[layout] or self._record(here, turns)
            self._recordings.move_to_end(layout)
            return recording.replayed(here, turns)

    def _record(self, here: Forest, turns: Turns) -> _Recording:
        """Runs nothing. All recordings share their memory, since they are replayed one after the other."""
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            losses = self._run(here, turns)
        return _Recording(graph, here, turns, losses)
