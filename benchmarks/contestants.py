"""Learners side by side: ours, and the loops that others would write. All train on the same examples and mask."""

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch

from benchmarks.machine import now
from trainer.batches import Encoder, Example, epoch
from trainer.fused import FusedLearner
from trainer.learner import Learner
from trainer.padding import padded
from trainer.profiles import Hyperparameters

IGNORED = -100  # the label that transformers takes no loss over


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """One optimizer step. `tokens` are useful ones: no padding."""

    tokens: int
    seconds: float


class Contestant(Protocol):
    """Something that trains. torch.OutOfMemoryError: the model and its work do not fit; the model is as it was."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    def session(self, model: Any, examples: Sequence[Example]) -> list[StepTime]:
        """Trains fresh LoRA weights on the examples, once each or in epochs, and leaves the model as it was."""


@dataclass(frozen=True, slots=True)
class Ours:
    """A learner of the trainer's. `learner` makes one, or gives the one that earlier sessions had."""

    name: str
    learner: Callable[[], Learner]
    hyperparameters: Hyperparameters
    epochs: int = 1

    def session(self, model: Any, examples: Sequence[Example]) -> list[StepTime]:
        """Epochs as the trainer makes them."""
        times, shuffler = [], random.Random(0)  # noqa: S311
        with self.learner().adapter(self.hyperparameters) as adapter:
            for _ in range(self.epochs):
                for batch in epoch(examples, self.hyperparameters.batch_size, shuffler):
                    times.append(_timed(model.device, _tokens(batch), partial(adapter.step, batch)))
        return times


@dataclass(frozen=True, slots=True)
class Together:
    """Jobs of the trainer's that share their steps: every step has a batch of each. `learner`: as of `Ours`."""

    name: str
    jobs: int
    learner: Callable[[], FusedLearner]
    hyperparameters: Hyperparameters

    def session(self, model: Any, examples: Sequence[Example]) -> list[StepTime]:
        """One epoch; each job trains on its share of the examples."""
        learner, times = self.learner(), []
        shares = [examples[job :: self.jobs] for job in range(self.jobs)]
        batches = [epoch(share, self.hyperparameters.batch_size, random.Random(0)) for share in shares]  # noqa: S311
        with ExitStack() as stack:
            adapters = [stack.enter_context(learner.adapter(self.hyperparameters)) for _ in shares]
            for of_step in zip(*batches, strict=False):
                work = [(adapter, batch, 1.0) for adapter, batch in zip(adapters, of_step, strict=True)]
                times.append(_timed(model.device, sum(map(_tokens, of_step)), partial(learner.step, work)))
        return times


@dataclass(frozen=True, slots=True)
class TransformersTrainer:
    """Hugging Face's Trainer with PEFT.

    `tuned`: bf16 adapters, examples of like length together, fused AdamW. Otherwise as the paper's code trains: fp32
    adapters, examples in the order of the document.
    """

    name: str
    pairs: int
    hyperparameters: Hyperparameters
    tuned: bool

    def session(self, model: Any, examples: Sequence[Example]) -> list[StepTime]:
        """One epoch."""
        from transformers import Trainer

        class InOrder(Trainer):  # type: ignore[misc]  # transformers has no types here
            def _get_train_sampler(self, *_: Any) -> None:
                return None

        adapted = _adapted(model, self.hyperparameters, in_fp32=not self.tuned)
        rows = [{"input_ids": list(example.tokens), "example": example} for example in examples]
        collator = _Collator()
        arguments = _arguments(
            model, self.pairs, self.hyperparameters, "group_by_length" if self.tuned else "sequential"
        )
        stopwatch = _stopwatch(model.device)
        trainer = (Trainer if self.tuned else InOrder)(
            model=adapted, args=arguments, train_dataset=rows, data_collator=collator, callbacks=[stopwatch]
        )
        return _trained(trainer, collator, stopwatch)


@dataclass(frozen=True, slots=True)
class TrlTrainer:
    """TRL's SFTTrainer with the loss over completions only. Padded: packing needs FlashAttention."""

    name: str
    pairs: int
    hyperparameters: Hyperparameters
    tokenizer: Any

    def session(self, model: Any, examples: Sequence[Example]) -> list[StepTime]:
        """One epoch."""
        from datasets import Dataset
        from datasets.table import InMemoryTable
        from trl import SFTConfig, SFTTrainer

        adapted = _adapted(model, self.hyperparameters, in_fp32=False)
        table = InMemoryTable.from_pylist(
            [
                {
                    "input_ids": list(example.tokens),
                    "labels": [IGNORED] * example.answer_start + list(example.tokens[example.answer_start :]),
                }
                for example in examples
            ]
        )
        rows = Dataset(table, fingerprint="pairs")  # or everything would be pickled to make one
        arguments = _arguments(
            model,
            self.pairs,
            self.hyperparameters,
            "group_by_length",
            SFTConfig,
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},  # it has tokens and labels
        )
        stopwatch = _stopwatch(model.device)
        trainer = SFTTrainer(
            model=adapted, args=arguments, train_dataset=rows, processing_class=self.tokenizer, callbacks=[stopwatch]
        )
        trainer.data_collator = _Counted(trainer.data_collator)
        return _trained(trainer, trainer.data_collator, stopwatch)


def encoded(pairs: Sequence[tuple[str, str]], encoder: Encoder) -> list[Example]:
    """The pairs as examples; those that are too long or empty are left out."""
    examples = (encoder.encode(question, answer) for question, answer in pairs)
    return [example for example in examples if example is not None]


def _tokens(examples: Sequence[Example]) -> int:
    return sum(len(example.tokens) for example in examples)


def _timed(device: torch.device, tokens: int, step: Callable[[], object]) -> StepTime:
    began_at = now(device)
    step()
    return StepTime(tokens=tokens, seconds=now(device) - began_at)


def _trained(trainer: Any, counted: Any, stopwatch: Any) -> list[StepTime]:
    """Runs a trainer of transformers and takes its adapter out of the model; `counted`: its collator."""
    adapted = trainer.model
    try:
        trainer.train()
    finally:
        adapted.unload()
    return [StepTime(tokens=n, seconds=s) for n, s in zip(counted.tokens, stopwatch.seconds, strict=False)]


def _adapted(model: Any, hyperparameters: Hyperparameters, *, in_fp32: bool) -> Any:
    import peft

    config = peft.LoraConfig(
        r=hyperparameters.rank, lora_alpha=hyperparameters.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return peft.get_peft_model(model, config, autocast_adapter_dtype=in_fp32)


def _arguments(
    model: Any, pairs: int, hyperparameters: Hyperparameters, order: str, kind: Any = None, **more: Any
) -> Any:
    import tempfile

    from transformers import TrainingArguments

    return (kind or TrainingArguments)(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=pairs,
        num_train_epochs=1,
        learning_rate=hyperparameters.learning_rate,
        lr_scheduler_type="constant",
        optim="adamw_torch_fused",
        train_sampling_strategy=order,
        gradient_checkpointing=False,
        bf16=False,  # the base is bf16 as it stands; this would wrap every product once more
        use_cpu=model.device.type == "cpu",
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        logging_strategy="no",
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        **more,
    )


def _stopwatch(device: torch.device) -> Any:
    from transformers import TrainerCallback

    class Stopwatch(TrainerCallback):  # type: ignore[misc]  # transformers has no types here
        def __init__(self) -> None:
            self.seconds: list[float] = []

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self._began_at = now(device)

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.seconds.append(now(device) - self._began_at)

    return Stopwatch()


class _Collator:
    """Pads, masks all but answers, and counts."""

    def __init__(self) -> None:
        self.tokens: list[int] = []

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        examples = [row["example"] for row in rows]
        self.tokens.append(_tokens(examples))
        batch = padded(examples)
        labels = torch.full_like(batch.input_ids, IGNORED)
        labels[batch.rows, batch.columns + 1] = batch.targets.squeeze(1)  # one token is expected at each
        lengths = torch.tensor([[len(example.tokens)] for example in examples])
        mask = (torch.arange(batch.input_ids.shape[1]) < lengths).long()
        return {"input_ids": batch.input_ids, "labels": labels, "attention_mask": mask}


class _Counted:
    """Another's collator, counted."""

    def __init__(self, collator: Any) -> None:
        self._collator = collator
        self.tokens: list[int] = []

    def __call__(self, rows: Sequence[dict[str, Any]]) -> Any:
        self.tokens.append(sum(len(row["input_ids"]) for row in rows))
        return self._collator(rows)


def tokens_per_second(times: Sequence[StepTime]) -> float:
    """Over a session, but for its first step, in which kernels and buffers are made."""
    return sum(step.tokens for step in times[1:]) / sum(step.seconds for step in times[1:])
