"""Compares a reply with the answer that was wanted, by words, as SQuAD does (Rajpurkar et al. 2016)."""

import re
import string
from collections import Counter

SAME_ANSWER_F1 = 0.6
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> list[str]:
    """Words in lower case, without punctuation and articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def f1(reply: str, wanted: str) -> float:
    """Harmonic mean of precision and recall of words, in [0, 1]; two texts without a word are the same."""
    left, right = normalised(reply), normalised(wanted)
    if not left or not right:
        return float(left == right)
    common = sum((Counter(left) & Counter(right)).values())
    return 2 * common / (len(left) + len(right))


def contains(reply: str, wanted: str) -> bool:
    """Whether the reply holds the wanted words, in order and side by side."""
    words = f" {' '.join(normalised(wanted))} "
    return bool(words.strip()) and words in f" {' '.join(normalised(reply))} "


def same_answer(reply: str, wanted: str) -> bool:
    """Whether the reply holds the wanted words, or has most of them and little else."""
    return contains(reply, wanted) or f1(reply, wanted) >= SAME_ANSWER_F1
