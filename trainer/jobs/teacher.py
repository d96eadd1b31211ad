"""Adds to pairs what the base model itself says with the text before it: context distillation.

The teacher is the frozen base model with the passage in its prompt, the student is the adapter with the question alone.
Of an answer token t they are taught to expect, with the share d of the hyperparameters (0: LIFT eq. 1),

    q(v) = (1 - d) · [v = t] + d · p(v | passage, question, the answer before t)     over the likeliest v
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Self

import torch

from trainer.base_model import BaseModel
from trainer.examples.batches import Encoder, Example, Likely
from trainer.examples.expectations import likeliest
from trainer.jobs.generation import Source
from trainer.jobs.stream import PairStream
from trainer.learners.padding import padded
from trainer.learners.peft_learner import without_adapter

TOKENS_AT_ONCE = 2048  # their logits are all made: 0.2 GB of a vocabulary of 49,000
WINDOW_CHARACTERS = 600


class Teacher:
    """The base model, asked about passages of documents."""

    def __init__(self, base: BaseModel, encoder: Encoder, shown: Callable[[int], str], share: float) -> None:
        """`shown` gives the passage of a sentence by its index; `share` is d."""
        self._base = base
        self._encoder = encoder
        self._shown = shown
        self._share = share

    @classmethod
    def of(
        cls, base: BaseModel, encoder: Encoder, sources: Sequence[Source], stream: PairStream, share: float
    ) -> Self | None:
        """One that is shown the documents which the stream is about; None where its share is 0."""

        def shown(index: int) -> str:
            place = stream.plan[index]
            return passage(sources[place.document].text, place.start, place.end)

        return cls(base, encoder, shown, share) if share else None

    def taught(self, examples: Sequence[tuple[int, str, Example]]) -> Iterator[Example]:
        """The examples, each given with its sentence's index and its question, with what is to be expected."""
        asked = [
            (example, self._encoder.prompt(f"{self._shown(index)}\n\n{question}"))
            for index, question, example in examples
        ]
        for part in _parts(asked):
            with_passage = [
                Example(tokens=(*prompt, *example.tokens[example.answer_start :]), answer_start=len(prompt))
                for example, prompt in part
            ]
            expected = self._expected(with_passage)
            for example, _ in part:
                tokens = example.tokens[example.answer_start :]
                likely = [_mixed(token, next(expected), self._share) for token in tokens]
                yield replace(example, likely=tuple(likely))

    @torch.inference_mode()
    def _expected(self, examples: Sequence[Example]) -> Iterator[Likely]:
        """What the base model expects at each answer token of the examples in turn."""
        model, batch = self._base.model, padded(examples)
        with without_adapter(model):
            logits = model(input_ids=batch.input_ids.to(model.device), use_cache=False).logits
        return iter(likeliest(logits[batch.rows, batch.columns]))


def passage(text: str, start: int, end: int) -> str:
    """The sentence at start..end of a text, and at most WINDOW_CHARACTERS of whole words before it."""
    earliest = max(0, start - WINDOW_CHARACTERS)
    space = text.find(" ", earliest, start) if earliest else -1
    return text[earliest if space < 0 else space + 1 : end]


def _parts(
    asked: Sequence[tuple[Example, tuple[int, ...]]],
) -> Iterator[list[tuple[Example, tuple[int, ...]]]]:
    """In order, each of at most TOKENS_AT_ONCE tokens where one alone is not longer."""
    part: list[tuple[Example, tuple[int, ...]]] = []
    longest = 0
    for example, prompt in asked:
        length = len(prompt) + example.answer_tokens
        if part and (len(part) + 1) * max(longest, length) > TOKENS_AT_ONCE:
            yield part
            part, longest = [], 0
        part.append((example, prompt))
        longest = max(longest, length)
    if part:
        yield part


def _mixed(token: int, teacher: Likely, share: float) -> Likely:
    chances = {other: share * chance for other, chance in teacher}
    chances[token] = chances.get(token, 0.0) + 1 - share
    return tuple(chances.items())
