"""Turns a document into the words that it says all the time: they tell what it is about, and answer few questions.

Of a text about an orchestra, "the orchestra" and "the players" answer what nobody asks, and where they are learned as
answers they come up in place of others.
"""

from collections import Counter
from collections.abc import Sequence

from generator.matching import stem, telling

LEAST_SENTENCES = 3
SHARE = 0.07  # of the sentences, where the document is long


def familiar_words(sentences: Sequence[str]) -> frozenset[str]:
    """Stems of the words, other than numbers, that stand in so many of the sentences."""
    least = max(LEAST_SENTENCES, SHARE * len(sentences))
    counts = Counter(found for sentence in sentences for found in stems_of(sentence))
    return frozenset(found for found, count in counts.items() if count >= least and not found[0].isdigit())


def stems_of(text: str) -> frozenset[str]:
    """Stems of the words that say something."""
    return frozenset(map(stem, telling(text)))
