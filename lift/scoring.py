"""Compares a reply with the answer that was wanted, by words, as SQuAD does (Rajpurkar et al. 2016).

What is reported is reported so, for figures that compare with others'. Whether a question writer has given an answer
back is told more leniently, by words of its own (`generator.matching`): only the counting is the same.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

SAME_ANSWER_F1 = 0.6
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> list[str]:
    """Words in lower case, without punctuation and articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def f1_of(left: Sequence[str], right: Sequence[str]) -> float:
    """Harmonic mean of precision and recall of words, in [0, 1]; 0 where there are none."""
    common = sum((Counter(left) & Counter(right)).values())
    return 2 * common / (len(left) + len(right)) if common else 0.0


def holds(longer: Sequence[str], shorter: Sequence[str]) -> bool:
    """Whether words are among others, in order and side by side; no words are among none."""
    return bool(shorter) and f" {' '.join(shorter)} " in f" {' '.join(longer)} "


def f1(reply: str, wanted: str) -> float:
    """`f1_of` the words of two texts; two without a word are the same."""
    left, right = normalised(reply), normalised(wanted)
    return f1_of(left, right) if left or right else 1.0


def contains(reply: str, wanted: str) -> bool:
    """Whether the reply `holds` the wanted words."""
    return holds(normalised(reply), normalised(wanted))


def same_answer(reply: str, wanted: str) -> bool:
    """Whether the reply holds the wanted words, or has most of them and little else."""
    return contains(reply, wanted) or f1(reply, wanted) >= SAME_ANSWER_F1
