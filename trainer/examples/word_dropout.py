"""Leaves words out of questions, others each time, so that an answer does not hang on one wording.

Word dropout (Iyyer et al., 2015), on tokens of the question alone. Rules and a small writer ask in the document's own
words; whoever asks the adapter uses others, and from some of the words the fact should come to mind as well.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from trainer.examples.batches import Encoder, Example

WHOLE = 0.4  # of the questions stay as they are: how a fact is asked for must stay known
SHORTEST = 3  # tokens that a question keeps at least


class WordDropout:
    """Draws what is left out; a share of 0 leaves out nothing."""

    def __init__(self, encoder: Encoder, share: float, seed: int) -> None:
        """`share`: the chance of each token of a question that is not to stay whole."""
        self._before, self._behind = encoder.frame
        self._share = share
        self._random = random.Random(seed)  # noqa: S311 - a sample, no secret

    def of(self, batch: Sequence[Example]) -> list[Example]:
        """The batch with words left out of its questions; text without a question stays as it is."""
        return [self._thinned(example) for example in batch] if self._share else list(batch)

    def _thinned(self, example: Example) -> Example:
        end = example.answer_start - self._behind
        if end - self._before <= SHORTEST or self._random.random() < WHOLE:
            return example
        question = example.tokens[self._before : end]
        kept = tuple(token for token in question if self._random.random() >= self._share)
        if len(kept) < SHORTEST:
            return example
        tokens = (*example.tokens[: self._before], *kept, *example.tokens[end:])
        return replace(example, tokens=tokens, answer_start=example.answer_start - len(question) + len(kept))
