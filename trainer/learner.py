"""Turns batches into LoRA weights: answer-only loss (LIFT eq. 1) on a frozen base model."""

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

import peft
import torch
from torch import Tensor, nn

from trainer.batches import Batch
from trainer.profiles import Hyperparameters


class Learner(Protocol):
    """Trains one adapter at a time on a base model that it keeps between adapters."""

    def start(self, hyperparameters: Hyperparameters) -> None:
        """Adds fresh LoRA weights: A random by the seed, B zero."""

    def step(self, batch: Batch) -> float:
        """One optimizer step; mean loss per answer token before it, in nats."""

    def finish(self) -> dict[str, Tensor]:
        """The weights under PEFT's names, bf16 on the CPU: A [rank, d_in] and B [d_out, rank] of each linear layer."""

    def reset(self) -> None:
        """Takes the LoRA weights out: the base model is bit for bit what it was."""


def answer_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean negative log-likelihood of answer tokens (LIFT eq. 1), in nats.

    logits [T_a, vocabulary] at the positions that predict answer tokens; targets [T_a].
    """
    return nn.functional.cross_entropy(logits.float(), targets)


class PeftLearner:
    """LoRA through `peft` and autograd, for every causal language model of transformers.

    Adapters compute in the base's type: bf16 matrix products are several times faster than fp32 ones on CPUs with AMX
    and on GPUs. The optimizer keeps an fp32 master of each weight, because bf16 loses steps smaller than 1/256 of it.
    """

    def __init__(self, model: Any) -> None:
        """`model`: a transformers causal language model, frozen from here on."""
        self._model = model.eval().requires_grad_(False)
        self._device = model.get_input_embeddings().weight.device
        self._adapted: Any = None

    def start(self, hyperparameters: Hyperparameters) -> None:
        """Adds fresh LoRA weights: A random by the seed, B zero."""
        self.reset()
        self._hyperparameters = hyperparameters
        config = peft.LoraConfig(
            r=hyperparameters.rank,
            lora_alpha=hyperparameters.alpha,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng(enabled=True):
            torch.manual_seed(hyperparameters.seed)
            self._adapted = peft.get_peft_model(self._model, config, autocast_adapter_dtype=False)
        self._weights = [weight for weight in self._adapted.parameters() if weight.requires_grad]
        self._masters = [weight.detach().float().requires_grad_() for weight in self._weights]
        self._optimizer = torch.optim.AdamW(self._masters, weight_decay=0.0, fused=True)
        self._steps = 0

    def step(self, batch: Batch) -> float:
        """One optimizer step; mean loss per answer token before it, in nats."""
        loss = self.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type here
        for weight, master in zip(self._weights, self._masters, strict=True):
            master.grad, weight.grad = weight.grad.float(), None
        nn.utils.clip_grad_norm_(self._masters, self._hyperparameters.clip_norm)
        self._optimizer.param_groups[0]["lr"] = self._hyperparameters.learning_rate_at(self._steps)
        self._optimizer.step()
        with torch.no_grad():
            torch._foreach_copy_(self._weights, self._masters)
        self._steps += 1
        return float(loss.detach())

    def loss(self, batch: Batch) -> Tensor:
        """The loss of a batch with the present weights; logits are made for answer tokens only."""
        rows, columns = batch.rows.to(self._device), batch.columns.to(self._device)
        with _only_at(self._model.get_output_embeddings(), rows, columns):
            logits = self._adapted(input_ids=batch.input_ids.to(self._device), use_cache=False).logits
        return answer_loss(logits, batch.targets.to(self._device))

    def finish(self) -> dict[str, Tensor]:
        """The weights under PEFT's names, bf16 on the CPU: A [rank, d_in] and B [d_out, rank] of each linear layer."""
        state = peft.get_peft_model_state_dict(self._adapted)
        return {name: weight.detach().to("cpu", torch.bfloat16, copy=True) for name, weight in state.items()}

    def reset(self) -> None:
        """Takes the LoRA weights out: the base model is bit for bit what it was."""
        if self._adapted is not None:
            self._adapted.unload()
            self._adapted = None
            self._weights, self._masters = [], []
            del self._optimizer  # it holds three times the weights


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
