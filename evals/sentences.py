"""Turns a text into sentences, well enough for passages and haystacks; the generator has a better splitter."""

import re

_END = re.compile(r"(?<=[.!?])\s+|\n{2,}")


def sentences(text: str) -> tuple[str, ...]:
    """The sentences without the space around them."""
    return tuple(filter(None, map(str.strip, _END.split(text))))
