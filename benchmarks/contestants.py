"""Learners side by side: ours, and the loops that others would write. All train on the same examples and mask."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch

from benchmarks.machine import now
from trainer.examples.batches import Encoder, Example, epoch
from trainer.learners.learner import Learner
from trainer.learners.padding import padded
from trainer.profiles import Hyperparameters

IGNORED = -100  # the label that transformers takes no loss over

Weights = Mapping[str, torch.Tensor]
"""LoRA weights under PEFT's names, bf16 on the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """One optimizer step. `tokens` are useful ones: no padding."""

    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEnd:
    """What an epoch left behind: the adapter's weights, and the seconds of all steps until then."""

    seconds: float
    weights: Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The training of one adapter."""

    steps: Sequence[StepTime]
    epochs: Sequence[EpochEnd]

    @property
    def tokens_per_second(self) -> float:
        """Of all steps but the first, in which buffers are made."""
        return _rate(self.steps[1:])

    @property
    def whole_tokens_per_second(self) -> float:
        """Of all steps."""
        return _rate(self.steps)


class Contestant(Protocol):
    """Something that trains."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    @property
    def pairs(self) -> int:
        """How many it takes in a step."""

    def session(self, model: Any, examples: Sequence[Example]) -> Session:
        """Trains fresh LoRA weights on the examples in epochs; leaves the model as it was, whatever is raised.

        torch.OutOfMemoryError: the model and its work do not fit.
        """


@dataclass(frozen=True, slots=True)
class Ours:
    """A learner of the trainer's. `learner` makes one, or gives the one that earlier sessions had."""

    name: str
    learner: Callable[[], Learner]
    hyperparameters: Hyperparameters
    epochs: int

    @property
    def pairs(self) -> int:
        """See `Contestant`."""
        return self.hyperparameters.batch_size

    def session(self, model: Any, examples: Sequence[Example]) -> Session:
        """Epochs as the trainer makes them."""
        times: list[StepTime] = []
        ends, shuffler = [], random.Random(0)  # noqa: S311
        with self.learner().adapter(self.hyperparameters) as adapter:
            for _ in range(self.epochs):
                for batch in epoch(examples, self.pairs, shuffler):
                    times.append(_timed(model.device, _tokens(batch), partial(adapter.step, batch)))
                ends.append(EpochEnd(seconds=sum(step.seconds for step in times), weights=adapter.weights()))
        return Session(steps=times, epochs=ends)


@dataclass(frozen=True, slots=True)
class TransformersTrainer:
    """Hugging Face's Trainer with PEFT.

    `tuned`: bf16 adapters, examples of like length together, fused AdamW. Otherwise as the paper's code trains: fp32
    adapters, examples in the order of the document.
    """

    name: str
    pairs: int
    hyperparameters: Hyperparameters
    epochs: int
    tuned: bool

    def session(self, model: Any, examples: Sequence[Example]) -> Session:
        """Epochs as Trainer makes them."""
        from transformers import Trainer

        class InOrder(Trainer):  # type: ignore[misc]  # transformers has no types here
            def _get_train_sampler(self, *_: Any) -> None:
                return None

        rows = [{"input_ids": list(example.tokens), "example": example} for example in examples]
        collator = _Collator()
        order = "group_by_length" if self.tuned else "sequential"
        arguments = _arguments(self, model, order)
        with _adapted(model, self.hyperparameters, in_fp32=not self.tuned) as adapted:
            stopwatch = _stopwatch(adapted)
            trainer = (Trainer if self.tuned else InOrder)(
                model=adapted, args=arguments, train_dataset=rows, data_collator=collator, callbacks=[stopwatch]
            )
            trainer.train()
        return _session(collator, stopwatch)


@dataclass(frozen=True, slots=True)
class TrlTrainer:
    """TRL's SFTTrainer with the loss over completions only. Padded: packing needs FlashAttention."""

    name: str
    pairs: int
    hyperparameters: Hyperparameters
    epochs: int
    tokenizer: Any

    def session(self, model: Any, examples: Sequence[Example]) -> Session:
        """Epochs as SFTTrainer makes them."""
        from datasets import Dataset
        from datasets.table import InMemoryTable
        from trl import SFTConfig, SFTTrainer

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
            self,
            model,
            "group_by_length",
            SFTConfig,
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},  # it has tokens and labels
        )
        with _adapted(model, self.hyperparameters, in_fp32=False) as adapted:
            stopwatch = _stopwatch(adapted)
            trainer = SFTTrainer(
                model=adapted,
                args=arguments,
                train_dataset=rows,
                processing_class=self.tokenizer,
                callbacks=[stopwatch],
            )
            trainer.data_collator = _Counted(trainer.data_collator)
            trainer.train()
        return _session(trainer.data_collator, stopwatch)


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


def _rate(times: Sequence[StepTime]) -> float:
    return sum(step.tokens for step in times) / sum(step.seconds for step in times)


def _session(counted: Any, stopwatch: Any) -> Session:
    """What a collator and a stopwatch saw of a trainer of transformers."""
    times = [StepTime(tokens=n, seconds=s) for n, s in zip(counted.tokens, stopwatch.seconds, strict=False)]
    return Session(steps=times, epochs=stopwatch.epochs)


@contextmanager
def _adapted(model: Any, hyperparameters: Hyperparameters, *, in_fp32: bool) -> Iterator[Any]:
    """The model with fresh LoRA weights for the length of the block."""
    import peft

    config = peft.LoraConfig(
        r=hyperparameters.rank, lora_alpha=hyperparameters.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    adapted = peft.get_peft_model(model, config, autocast_adapter_dtype=in_fp32)
    try:
        yield adapted
    finally:
        adapted.unload()


def _arguments(of: TransformersTrainer | TrlTrainer, model: Any, order: str, kind: Any = None, **more: Any) -> Any:
    import tempfile

    from transformers import TrainingArguments

    return (kind or TrainingArguments)(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=of.pairs,
        num_train_epochs=of.epochs,
        learning_rate=of.hyperparameters.learning_rate,
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


def _stopwatch(adapted: Any) -> Any:
    """`adapted`: the PEFT model in training."""
    import peft
    from transformers import TrainerCallback

    class Stopwatch(TrainerCallback):  # type: ignore[misc]  # transformers has no types here
        def __init__(self) -> None:
            self.seconds: list[float] = []
            self.epochs: list[EpochEnd] = []

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self._began_at = now(adapted.device)

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.seconds.append(now(adapted.device) - self._began_at)

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            named = peft.get_peft_model_state_dict(adapted)
            weights = {name: weight.detach().to("cpu", torch.bfloat16, copy=True) for name, weight in named.items()}
            self.epochs.append(EpochEnd(seconds=sum(self.seconds), weights=weights))

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
