"""Turns a text into sentences, well enough for passages and haystacks; the generator has a better splitter."""

import re
import textwrap

_END = re.compile(r"(?<=[.!?])\s+|\n{2,}")
_CUTS = (re.compile(r"\n"), re.compile(r"(?<=[\u3002\uff01\uff1f])"))


def sentences(text: str) -> tuple[str, ...]:
    """The sentences without the space around them."""
    return tuple(filter(None, map(str.strip, _END.split(text))))


def pieces(text: str, characters: int) -> tuple[str, ...]:
    """The sentences; one of more characters is cut at its lines, its ends in other scripts, its words, or anywhere."""
    found = list(sentences(text))
    for cut in _CUTS:
        found = [part for each in found for part in ([each] if len(each) <= characters else cut.split(each))]
    wrapped = (textwrap.wrap(each, characters) if len(each) > characters else [each.strip()] for each in found)
    return tuple(piece for each in wrapped for piece in each if piece)
