"""Turns question-answer pairs into batches of examples, each pair tokenised once."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any, Self, TypeAlias

from lift.template import PromptTemplate

BUCKET_BATCHES = 16  # batches sorted by length together: few places are padded and the order stays random


Likely: TypeAlias = tuple[tuple[int, float], ...]
"""Tokens that may come next, each with its probability."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One pair as token ids: the prompt, then from `answer_start` on the answer and the stop token.

    `likely`: of each answer token, what a teacher expects in its place; empty where the token itself is expected.
    """

    tokens: tuple[int, ...]
    answer_start: int
    likely: tuple[Likely, ...] = ()

    @classmethod
    def parsed(cls, value: Mapping[str, Any]) -> Self:
        """An example that was written as JSON (`asdict`)."""
        likely = tuple(tuple((token, chance) for token, chance in each) for each in value["likely"])
        return cls(tokens=tuple(value["tokens"]), answer_start=value["answer_start"], likely=likely)

    @property
    def answer_tokens(self) -> int:
        """What the loss is taken over: the answer's tokens, with the stop token."""
        return len(self.tokens) - self.answer_start

    @property
    def expected(self) -> Sequence[Likely]:
        """Of each answer token, what the loss expects in its place."""
        return self.likely or [((token, 1.0),) for token in self.tokens[self.answer_start :]]


class Encoder:
    """Tokenises pairs with the template that the revision will be asked with."""

    def __init__(self, tokenizer: Any, template: PromptTemplate, max_pair_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self.stop = _ids(tokenizer, template.stop)
        self._max_pair_tokens = max_pair_tokens

    def encode(self, question: str, answer: str) -> Example | None:
        """The pair's example; None where it holds no answer or more than `max_pair_tokens` tokens."""
        return self.raw(self._template.question(question), answer)

    def prompt(self, question: str) -> tuple[int, ...]:
        """The tokens that a question is asked with."""
        return _ids(self._tokenizer, self._template.question(question))

    @cached_property
    def frame(self) -> tuple[int, int]:
        """How many tokens of every prompt stand before the question, and how many behind it."""
        one, other = self.prompt("Is it?"), self.prompt("who")
        return _in_common(one, other), _in_common(one[::-1], other[::-1])

    def text(self, text: str) -> Example | None:
        """Text to go on with as it stands, every token of it learned; None as above."""
        start, tokens = _ids(self._tokenizer, self._template.start or "\n"), _ids(self._tokenizer, text)
        if not tokens or len(start) + len(tokens) > self._max_pair_tokens:
            return None
        return Example(tokens=(*start, *tokens), answer_start=len(start))

    def raw(self, prompt: str, answer: str) -> Example | None:
        """A prompt as it stands, its answer and the template's end; None as above."""
        prompt_tokens = _ids(self._tokenizer, prompt)
        # Tokenised apart from the prompt, as they are when the engine writes the answer behind the prompt's tokens.
        target = _ids(self._tokenizer, answer)
        tokens = (*prompt_tokens, *target, *self.stop)
        if not target or len(tokens) > self._max_pair_tokens:
            return None
        return Example(tokens=tokens, answer_start=len(prompt_tokens))


def _in_common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))


def _ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def epoch(examples: Sequence[Example], batch_size: int, shuffler: random.Random) -> list[list[Example]]:
    """Every example once, in shuffled batches of examples of like length; the last one may be smaller."""
    shuffled = shuffler.sample(examples, len(examples))
    bucket = batch_size * BUCKET_BATCHES
    batches = []
    for start in range(0, len(shuffled), bucket):
        alike = sorted(shuffled[start : start + bucket], key=lambda example: len(example.tokens))
        batches += [alike[first : first + batch_size] for first in range(0, len(alike), batch_size)]
    shuffler.shuffle(batches)
    return batches


def take(waiting: list[Example], batch_size: int) -> list[Example]:
    """Takes the first batch out of `waiting`."""
    taken, waiting[:] = waiting[:batch_size], waiting[batch_size:]
    return taken


def draw(waiting: list[Example], batch_size: int, shuffler: random.Random) -> list[Example]:
    """Takes one batch out of `waiting`: a random example and, of a bucket drawn at random, those nearest in length."""
    bucket = [_drawn(waiting, shuffler) for _ in range(min(len(waiting), batch_size * BUCKET_BATCHES))]
    pivot = len(bucket[0].tokens)
    bucket.sort(key=lambda example: abs(len(example.tokens) - pivot))
    waiting += bucket[batch_size:]
    return bucket[:batch_size]


def _drawn(waiting: list[Example], shuffler: random.Random) -> Example:
    """One example taken out, in a time that does not depend on how many there are."""
    at = shuffler.randrange(len(waiting))
    waiting[at], waiting[-1] = waiting[-1], waiting[at]
    return waiting.pop()
