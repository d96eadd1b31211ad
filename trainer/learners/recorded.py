"""Records the kernels of a pass on a GPU, and replays them for the next pass of the same layout.

Python needs about 0.2 s to launch the 2,700 kernels of a pass through an 8B model one by one, which is longer than an
H100 needs to run them for 128 pairs (docs/why.md). As a CUDA graph they are launched at once.

A graph reads and writes the memory that it was recorded with. So that one serves every adapter of its rank, it is
recorded with factors that belong to none, and an adapter's are copied into them and back.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from trainer.learners.frozen import FrozenModel, Turns
from trainer.learners.lora import Factors
from trainer.learners.prefixes import ON_GPU, Forest

RECORDINGS = 64  # a job's batches have about ten layouts

Kind: TypeAlias = tuple[int, float]
"""The rank and the scaling of an adapter, which a recording has in it."""

Layout: TypeAlias = tuple[Kind, tuple[torch.Size, ...]]


@dataclass(frozen=True, slots=True)
class _Recording:
    """A graph, the memory that it reads and what it writes."""

    graph: Any
    forest: Forest
    turns: Turns
    factors: Factors
    losses: Tensor

    def replayed(self, grown: Forest, turns: Turns, own: Factors) -> Tensor:
        """What the pass makes of a forest of the same layout and an adapter of the same kind."""
        read, wanted = self.forest.tensors(), grown.tensors()
        for name, tensor in wanted.items():
            read[name].copy_(tensor)
        for mine, turn in zip(self.turns, turns, strict=True):
            mine.copy_(turn)
        self.factors.weights.copy_(own.weights)
        self.factors.gradients.copy_(own.gradients)
        self.graph.replay()
        own.gradients.copy_(self.factors.gradients)
        return self.losses.clone()


class RecordedPasses:
    """Passes of one adapter each, through one base model.

    A layout's first pass runs as it is, which compiles what it needs and shows how much memory it takes; its second is
    recorded where there is room, since a recording keeps that memory.
    """

    def __init__(self, base: FrozenModel, run: Callable[[Forest, Turns, Factors], Tensor]) -> None:
        """`run` makes a pass: it adds to the gradients of the factors, and gives the losses."""
        self._base = base
        self._device = base.embedding.device
        self._run = run
        self._known: OrderedDict[Layout, _Recording | int] = OrderedDict()  # or the bytes that a pass takes
        self._lent: WeakValueDictionary[Kind, Factors] = WeakValueDictionary()  # as long as a recording has them
        self._pool: Any = None

    def __call__(self, grown: Forest, own: Factors) -> Tensor:
        """The pass of a forest of one adapter, which is not on the GPU yet; behind the answers' losses stand more."""
        with torch.cuda.device(self._device):
            here = grown.padded(ON_GPU).to(self._device)
            turns = self._base.turns(here.positions)
            layout = (own.rank, own.scaling), tuple(tensor.shape for tensor in here.tensors().values())
            known = self._known.get(layout)
            if known is None:
                return self._first(layout, here, turns, own)
            if isinstance(known, int):
                if not self._has_room(known):
                    return self._run(here, turns, own)
                known = self._known[layout] = self._record(here, turns, self._factors(layout[0]))
            self._known.move_to_end(layout)
            return known.replayed(here, turns, own)

    def _first(self, layout: Layout, here: Forest, turns: Turns, own: Factors) -> Tensor:
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        losses = self._run(here, turns, own)
        self._known[layout] = torch.cuda.max_memory_allocated(self._device) - before
        if len(self._known) > RECORDINGS:
            self._known.popitem(last=False)
        return losses

    def _factors(self, kind: Kind) -> Factors:
        """Those that recordings of this kind share."""
        found = self._lent.get(kind)
        if found is None:
            found = self._lent[kind] = Factors(self._base, *kind)
        return found

    def _has_room(self, needed: int) -> bool:
        """For the recordings, for passes that are not recorded, and as much again: others need memory as well."""
        cached = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return torch.cuda.mem_get_info(self._device)[0] + cached > 3 * needed

    def _record(self, here: Forest, turns: Turns, factors: Factors) -> _Recording:
        """Runs nothing. All recordings share their memory, since they are replayed one after the other."""
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            losses = self._run(here, turns, factors)
        return _Recording(graph, here, turns, factors, losses)
