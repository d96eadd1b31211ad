"""Lays examples out side by side, padded on the right."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.examples.batches import Example
from trainer.examples.expectations import expectations

PAD_TO = 8  # lengths are rounded up: a few shapes to compile kernels for, instead of one per length


@dataclass(frozen=True, slots=True, kw_only=True)
class Padded:
    """input_ids [B, L]; rows and columns [T_a]: logits at (row, column) predict an answer token.

    targets, chances [T_a, K]: what is expected there (`expectations`). Causal attention never looks right, so no mask
    is needed.
    """

    input_ids: Tensor
    rows: Tensor
    columns: Tensor
    targets: Tensor
    chances: Tensor


def rounded_up(number: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-number // step) * step


def padded(examples: Sequence[Example]) -> Padded:
    """The examples as one batch."""
    lengths = [len(example.tokens) for example in examples]
    width = rounded_up(max(lengths), PAD_TO)
    input_ids = torch.zeros(len(examples), width, dtype=torch.long)
    rows: list[int] = []
    columns: list[int] = []
    for row, example in enumerate(examples):
        input_ids[row, : lengths[row]] = torch.tensor(example.tokens)
        rows += [row] * example.answer_tokens
        columns += range(example.answer_start - 1, lengths[row] - 1)
    targets, chances = expectations(examples)
    return Padded(
        input_ids=input_ids,
        rows=torch.tensor(rows),
        columns=torch.tensor(columns),
        targets=targets,
        chances=chances,
    )
