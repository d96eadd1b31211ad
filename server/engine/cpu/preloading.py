"""Reads adapters in a thread of vLLM's worker, so that its loop, which writes everybody's answers, only takes them.

vLLM takes `Preloading` into its worker (`worker_extension_cls`); `VllmEngine.add` calls it before it has the adapter
added. Reading one whose numbers are of another type than the model's, or for a GPU, takes as long as tokens of every
answer; and of one that stays where it is, its hundreds of tensors are to be named.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from vllm.lora.request import LoRARequest

from server.engine.cpu.lora_layers import Scaled, registered


class Preloading:
    """What a worker can do besides; `self` is the worker."""

    model_runner: Any

    def preload(self, name: str, number: int, folder: str) -> None:
        """Begins to read an adapter; what is wrong with it is said when it is added."""
        manager = self.model_runner.lora_manager
        if not isinstance(manager._load_adapter, _Reader):
            manager._load_adapter = _Reader(manager)
        manager._load_adapter.begin(LoRARequest(lora_name=name, lora_int_id=number, lora_path=folder))

    def preloaded(self, number: int) -> bool:
        """Whether an adapter's reading has ended, well or not."""
        read: bool = self.model_runner.lora_manager._load_adapter.has_ended(number)
        return read


class _Reader:
    """Takes the place of a manager's reading: gives once what was read before, and reads what was not."""

    def __init__(self, manager: Any) -> None:
        self._load = manager._load_adapter
        self._pack = manager._adapter_manager._create_merged_loras_inplace
        self._reading: dict[int, Future[Any]] = {}

    def begin(self, request: LoRARequest) -> None:
        thread = ThreadPoolExecutor(1, "adapter")
        self._reading[request.lora_int_id] = thread.submit(self._read, request)
        thread.shutdown(wait=False)

    def has_ended(self, number: int) -> bool:
        return number not in self._reading or self._reading[number].done()

    def __call__(self, request: LoRARequest) -> Any:
        read = self._reading.pop(request.lora_int_id, None)
        return self._load(request) if read is None else read.result()

    def _read(self, request: LoRARequest) -> Any:
        adapter = self._load(request)
        if registered():
            for layer in adapter.loras.values():
                _leave_unscaled(layer)
        self._pack(adapter)  # vLLM will do so again, and find nothing left to do
        return adapter


def _leave_unscaled(layer: Any) -> None:
    """Has B keep its scaling beside it: vLLM would multiply it in place, in pages that are copied for it."""
    layer.lora_b, layer.scaling = Scaled(layer.lora_b, layer.scaling), 1
