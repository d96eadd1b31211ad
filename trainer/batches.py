"""Turns question-answer pairs into batches of token ids, each pair tokenised once and padding kept small."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lift.template import PromptTemplate

PAD_TO = 8  # lengths are rounded up: a few shapes to compile kernels for, instead of one per length
BUCKET_BATCHES = 16  # batches sorted by length together: padding stays small and the order stays random


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One pair as token ids: the prompt, then from `answer_start` on the answer and the stop token."""

    tokens: tuple[int, ...]
    answer_start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Examples side by side, padded on the right.

    input_ids [B, L]; rows, columns and targets [T_a]: logits at (row, column) predict that target, an answer token.
    `useful_tokens` counts the tokens that are no padding. Causal attention never looks right, so no mask is needed.
    """

    input_ids: Tensor
    rows: Tensor
    columns: Tensor
    targets: Tensor
    useful_tokens: int


class Encoder:
    """Tokenises pairs with the template that the revision will be asked with."""

    def __init__(self, tokenizer: Any, template: PromptTemplate, max_pair_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._stop = _ids(tokenizer, template.stop)
        self._max_pair_tokens = max_pair_tokens

    def encode(self, question: str, answer: str) -> Example | None:
        """The pair's example; None where it holds no answer or more than `max_pair_tokens` tokens."""
        prompt = _ids(self._tokenizer, self._template.question(question))
        # Tokenised apart from the prompt, as they are when the engine writes the answer behind the prompt's tokens.
        target = _ids(self._tokenizer, answer)
        tokens = (*prompt, *target, *self._stop)
        if not target or len(tokens) > self._max_pair_tokens:
            return None
        return Example(tokens=tokens, answer_start=len(prompt))


def _ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def collate(examples: Sequence[Example]) -> Batch:
    """The examples as one batch."""
    lengths = [len(example.tokens) for example in examples]
    width = -(-max(lengths) // PAD_TO) * PAD_TO
    input_ids = torch.zeros(len(examples), width, dtype=torch.long)
    rows: list[int] = []
    columns: list[int] = []
    targets: list[int] = []
    for row, example in enumerate(examples):
        input_ids[row, : lengths[row]] = torch.tensor(example.tokens)
        answer = range(example.answer_start, lengths[row])
        rows += [row] * len(answer)
        columns += [position - 1 for position in answer]
        targets += example.tokens[example.answer_start :]
    return Batch(
        input_ids=input_ids,
        rows=torch.tensor(rows),
        columns=torch.tensor(columns),
        targets=torch.tensor(targets),
        useful_tokens=sum(lengths),
    )


def epoch(examples: Sequence[Example], batch_size: int, shuffler: random.Random) -> Iterator[Batch]:
    """Every example once, in shuffled batches of examples of like length; the last one may be smaller."""
    shuffled = shuffler.sample(examples, len(examples))
    bucket = batch_size * BUCKET_BATCHES
    batches = []
    for start in range(0, len(shuffled), bucket):
        alike = sorted(shuffled[start : start + bucket], key=lambda example: len(example.tokens))
        batches += [alike[first : first + batch_size] for first in range(0, len(alike), batch_size)]
    shuffler.shuffle(batches)
    return map(collate, batches)


def draw(waiting: list[Example], batch_size: int, shuffler: random.Random) -> Batch:
    """Takes one batch out of `waiting`: a random example and those nearest to it in length."""
    pivot = len(shuffler.choice(waiting).tokens)
    shuffler.shuffle(waiting)
    waiting.sort(key=lambda example: abs(len(example.tokens) - pivot))
    taken, waiting[:] = waiting[:batch_size], waiting[batch_size:]
    return collate(taken)
