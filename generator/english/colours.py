"""Turns the words of a sentence into its colours, and into what they are the colours of: people ask for both.

"The lamp stays green" and "a dark red door" have one each. A colour that names something is none: "the Red Lion".
"""

from collections.abc import Iterator, Sequence

from generator.english import words
from generator.english.tagger import Tag, Word
from generator.english.verbs import base_form


def colours(tokens: Sequence[Word]) -> Iterator[tuple[int, int]]:
    """Character places start..end of colours that something has, or that stand before what they describe."""
    at = 0
    while at < len(tokens):
        first, at = at, _colour_end(tokens, at)
        if first < at and (_is_said(tokens, first) or coloured(tokens, tokens[at - 1].end)[0]):
            yield tokens[first].start, tokens[at - 1].end
        at = max(at, first + 1)


def coloured(tokens: Sequence[Word], place: int) -> tuple[str, bool]:
    """The noun that a colour before character `place` describes, and whether it stands for several; empty for none."""
    behind = [word for word in tokens if word.start >= place]
    last = next((at for at, word in enumerate(behind) if not _is_noun(word)), len(behind)) - 1
    if last < 0:
        return "", False
    return " ".join(word.text for word in behind[: last + 1]), behind[last].part == "NN2"


def _is_noun(word: Word) -> bool:
    return word.tag is Tag.CONTENT and not word.is_capital and word.part.startswith("NN")


def _colour_end(tokens: Sequence[Word], at: int) -> int:
    """Behind the colour that begins at word `at`, with its shade, or the colours: "dark red", "black and white"."""
    end = at
    while end < len(tokens):
        shade = end + 1 if tokens[end].lower in words.SHADES else end
        joined = end + 1 if end > at and tokens[end].lower in {"and", "or", ","} else shade
        if not (joined < len(tokens) and tokens[joined].text in words.COLOURS):
            break
        end = joined + 1
    return end


def _is_said(tokens: Sequence[Word], at: int) -> bool:
    """Whether the words before say that something has the colour: "is green", "was painted blue"."""
    before = next((word for word in reversed(tokens[:at]) if not words.is_adverb(word.text)), None)
    if before is None:
        return False
    copula = before.lower in words.COPULAS | {"be", "been"}
    return copula or (before.part.startswith("V") and base_form(before.lower) in words.LINKING)
