"""Turns the pairs that come into examples, and says what is held out, what is learned again, and in what order."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence

from lift.kinds import Kind
from storage.journal import Pair
from trainer import metrics
from trainer.examples.batches import Encoder, Example
from trainer.jobs.teacher import Teacher

RAW = Kind.RAW
"""Kind of a pair that is a piece of the document, without a question."""

OF_RULES = frozenset({Kind.CLOZE, Kind.INVERTED})
"""Kinds of pairs that rules wrote."""

UNLIKE_A_PERSONS = OF_RULES | {RAW}
"""Kinds of pairs that recall is not measured on: rules wrote them, or nobody did."""


class TaughtPairs:
    """The pairs that have come, each tokenised once."""

    def __init__(self, encoder: Encoder, held_out_share: float, teacher: Teacher | None) -> None:
        """With a teacher, the examples are as it would answer them."""
        self._encoder = encoder
        self._held_out_share = held_out_share
        self._teacher = teacher
        self._taught: set[tuple[int, str]] = set()
        self._seen: set[Pair] = set()
        self._asked_of: dict[str, int] = {}
        self.pairs: list[Pair] = []
        self.held_out: list[Pair] = []
        self.examples: list[Example] = []
        self.left_out = 0

    def add(self, pairs: Sequence[Pair]) -> list[Example]:
        """The examples of the new pairs to train on; those that are too long or empty are left out and counted."""
        added = []
        for pair in pairs:
            if pair in self._seen or self._is_of_another(pair):
                continue
            self._seen.add(pair)
            is_text = pair.kind == RAW
            example = self._encoder.text(pair.answer) if is_text else self._encoder.encode(pair.question, pair.answer)
            if example is None:
                self.left_out += 1
            elif self._is_held_out(pair):
                self.held_out.append(pair)
            else:
                self._taught.add(_fact(pair))
                self.pairs.append(pair)
                added.append((pair, example))
        examples = self._expected(added)
        self.examples += examples
        metrics.PAIRS.inc(len(examples))
        return examples

    def _is_of_another(self, pair: Pair) -> bool:
        """Whether its question was asked about another sentence first, and has that one's answer.

        A generator asks nothing twice in one stream; it does not know what earlier attempts had it ask.
        """
        question = " ".join(pair.question.lower().split())
        return bool(question) and self._asked_of.setdefault(question, pair.sentence_index) != pair.sentence_index

    def _expected(self, added: Sequence[tuple[Pair, Example]]) -> list[Example]:
        """The examples as the teacher would answer them; text has no question to ask it."""
        if self._teacher is None:
            return [example for _, example in added]
        asked = [(pair.sentence_index, pair.question, example) for pair, example in added if pair.kind != RAW]
        taught = iter(self._teacher.taught(asked))
        return [example if pair.kind == RAW else next(taught) for pair, example in added]

    def _is_held_out(self, pair: Pair) -> bool:
        """Whether the share has room for the pair, and another question teaches its answer: no fact is given up."""
        due = self._held_out_share * (len(self.pairs) + len(self.held_out) + 1)
        answered = _fact(pair) in self._taught
        return len(self.held_out) + 1 <= due and answered and pair.kind not in UNLIKE_A_PERSONS

    def learned(self, enough: int = 0) -> list[tuple[int, Example]]:
        """The examples behind the first epoch, each with its sentence.

        Without what rules ask where `enough` other questions have the answer; 0: all.
        """
        asked_for = Counter(_fact(pair) for pair in self.pairs if pair.kind not in UNLIKE_A_PERSONS)
        return [
            (pair.sentence_index, example)
            for pair, example in zip(self.pairs, self.examples, strict=True)
            if not (enough and pair.kind in OF_RULES and asked_for[_fact(pair)] >= enough)
        ]

    def in_order(self, enough: int = 0) -> list[Example]:
        """What is learned, in an order that does not depend on which pair came first, so that a seed repeats a run."""
        return sorted((example for _, example in self.learned(enough)), key=lambda example: example.tokens)

    def sha256(self) -> str:
        """Identifies the set of pairs."""
        pairs = sorted((pair.sentence_index, pair.question, pair.answer) for pair in self.pairs)
        return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()


def _fact(pair: Pair) -> tuple[int, str]:
    """What a pair teaches, however it is asked for."""
    return pair.sentence_index, pair.answer
