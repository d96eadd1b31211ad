"""The plain learner: LoRA through `peft` and autograd, for every model. The fast one is tested against it."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import peft
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from trainer.examples.batches import Example
from trainer.examples.expectations import losses
from trainer.learners.padding import padded
from trainer.learners.primer import Primer, whitener_of
from trainer.learners.spectra import KeptSpectra
from trainer.learners.whitening import Whitener, whiteners
from trainer.profiles import Hyperparameters


class PeftLearner:
    """Trains one adapter at a time: who asks for a second one waits."""

    def __init__(self, model: Any, kept: Callable[[], KeptSpectra] | None = None) -> None:
        """`model`: a transformers causal language model, frozen from here on.

        `kept` gives the spectra of its inputs, which adapters with `whitening` need.
        """
        self._model = model.eval().requires_grad_(False)
        self._kept = kept
        self._in_use = threading.Lock()

    @contextlib.contextmanager
    def adapter(self, hyperparameters: Hyperparameters, primer: Primer | None = None) -> Iterator["PeftAdapter"]:
        """LoRA weights for the length of the block, fresh or begun at a primer; then the base is bit for bit as before.

        InvalidOption: `whitening` where no spectra are given.
        """
        config = peft.LoraConfig(
            r=hyperparameters.rank,
            lora_alpha=hyperparameters.alpha,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        # Not while it is in use: spectra that are not known yet are looked for in an `unadapted` block.
        whitened = whiteners(self._kept, hyperparameters.whitening, self._model.get_input_embeddings().weight)
        with self._in_use:
            with torch.random.fork_rng(enabled=True):
                torch.manual_seed(hyperparameters.seed)
                adapted = peft.get_peft_model(self._model, config, autocast_adapter_dtype=False)
            try:
                yield PeftAdapter(adapted, hyperparameters, whitened, primer)
            finally:
                adapted.unload()

    def unadapted(self) -> contextlib.AbstractContextManager[object]:
        """See `Learner`; an adapter is a part of the model here, so it waits for the one that is there."""
        return self._in_use


class PeftAdapter:
    """One adapter in training.

    It computes in the base's type: bf16 matrix products are several times faster than fp32 ones on CPUs with AMX and on
    GPUs. The optimizer keeps an fp32 master of each weight, because bf16 loses steps smaller than 1/256 of it. The
    master of an A with a whitener is that of A' (`whitening`).
    """

    def __init__(
        self,
        adapted: Any,
        hyperparameters: Hyperparameters,
        whitened: Mapping[str, Whitener],
        primer: Primer | None = None,
    ) -> None:
        """`adapted`: a PEFT model whose LoRA weights are all that has gradients."""
        self.model = adapted
        self._hyperparameters = hyperparameters
        self._device = adapted.get_input_embeddings().weight.device
        named = {name: weight for name, weight in adapted.named_parameters() if weight.requires_grad}
        self._names = [name.replace(".default.", ".") for name in named]  # as files have them
        self._weights = list(named.values())
        self._whiteners = [whitener_of(name, whitened) for name in self._names]
        self._masters = [weight.detach().to(torch.float32, copy=True).requires_grad_() for weight in self._weights]
        if primer:
            by_name = {name: master.data for name, master in zip(self._names, self._masters, strict=True)}
            primer.begin(by_name, hyperparameters, whitened)
        of_layers: dict[int, list[Tensor]] = {}
        for name, master in zip(self._names, self._masters, strict=True):
            of_layers.setdefault(_layer(name), []).append(master)
        groups = [{"params": own, "above": max(of_layers) - layer} for layer, own in of_layers.items()]
        self._optimizer = torch.optim.AdamW(groups, weight_decay=0.0, fused=True)
        self._steps = 0
        self._take_over()

    def step(self, examples: Sequence[Example], left: float = 1.0) -> float:
        """See `Adapter`."""
        loss = self._losses(examples).mean()
        loss.backward()
        for weight, master, whitener in zip(self._weights, self._masters, self._whiteners, strict=True):
            gradient = weight.grad.float()
            master.grad, weight.grad = whitener(gradient) if whitener else gradient, None
        nn.utils.clip_grad_norm_(self._masters, self._hyperparameters.clip_norm)
        rate, decay = self._hyperparameters.learning_rate_at(self._steps, left), self._hyperparameters.layerwise_decay
        for group in self._optimizer.param_groups:
            group["lr"] = rate * decay ** group["above"]
        self._optimizer.step()
        self._take_over()
        self._steps += 1
        return float(loss.detach())

    @torch.no_grad()
    def _take_over(self) -> None:
        """Computes with the masters from here on."""
        torch._foreach_copy_(self._weights, self._masters)
        for weight, master, whitener in zip(self._weights, self._masters, self._whiteners, strict=True):
            if whitener:
                weight.copy_(whitener(master))

    def gradients(self, examples: Sequence[Example]) -> tuple[dict[str, Tensor], float]:
        """Of the mean loss per answer token, by the weights under PEFT's names, fp32; and the loss, in nats."""
        loss = self._losses(examples).mean()
        loss.backward()
        found = {}
        for name, weight in zip(self._names, self._weights, strict=True):
            found[name], weight.grad = weight.grad.to("cpu", torch.float32, copy=True), None
        return found, float(loss.detach())

    def _losses(self, examples: Sequence[Example]) -> Tensor:
        """The loss of each answer token [T_a]; logits are made for those only."""
        batch = padded(examples)
        rows, columns = batch.rows.to(self._device), batch.columns.to(self._device)
        with _only_at(self.model.get_output_embeddings(), rows, columns):
            logits = self.model(input_ids=batch.input_ids.to(self._device), use_cache=False).logits
        return losses(logits, batch.targets.to(self._device), batch.chances.to(self._device))

    @torch.no_grad()
    def loss(self, examples: Sequence[Example]) -> float:
        """See `Adapter`."""
        size = self._hyperparameters.batch_size
        parts = [examples[start : start + size] for start in range(0, len(examples), size)]
        tokens = [sum(example.answer_tokens for example in part) for part in parts]
        found = [float(self._losses(part).mean()) for part in parts]
        return sum(loss * count for loss, count in zip(found, tokens, strict=True)) / sum(tokens)

    def loss_with(self, weights: Mapping[str, Tensor], examples: Sequence[Example]) -> float:
        """See `Adapter`."""
        try:
            peft.set_peft_model_state_dict(self.model, dict(weights))
            return self.loss(examples)
        finally:
            self._take_over()

    def weights(self) -> dict[str, Tensor]:
        """See `Adapter`."""
        state = peft.get_peft_model_state_dict(self.model)
        return {name: weight.detach().to("cpu", torch.bfloat16, copy=True) for name, weight in state.items()}


def _layer(name: str) -> int:
    """The number of the layer that a weight is of: the first number in its name; 0 where it has none."""
    return next((int(part) for part in name.split(".") if part.isdecimal()), 0)


@contextlib.contextmanager
def without_adapter(model: Any) -> Iterator[None]:
    """Inside the block the model computes as if nothing were being trained on it."""
    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    for layer in layers:
        layer.enable_adapters(enabled=False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(enabled=True)


@contextlib.contextmanager
def _only_at(head: nn.Module, rows: Tensor, columns: Tensor) -> Iterator[None]:
    """Inside the block the head sees hidden states [T_a, d] at (rows, columns) in place of [B, L, d].

    Unlike calling the head ourselves, this keeps what a model does to its logits behind it (Gemma 2 caps them).
    """
    hook = head.register_forward_pre_hook(lambda _module, inputs: (inputs[0][rows, columns],))
    try:
        yield
    finally:
        hook.remove()
