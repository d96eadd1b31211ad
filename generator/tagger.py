"""Turns the words of an English sentence into their parts of speech: the BNC's basic tags, by HanTa's model."""

from collections.abc import Sequence
from functools import cache
from typing import Any

LONGEST = 40  # letters of a word that its analysis is worth; what is longer is no English word


def parts_of_speech(words: Sequence[str]) -> tuple[str, ...]:
    """The tag of each word or mark: NN1, VVD, AJ0, … (C5, the British National Corpus's)."""
    plain = [word[:LONGEST].replace("\u2019", "'") for word in words]
    return tuple(tag for _, _, tag in _model().tag_sent(plain))


@cache
def _model() -> Any:
    from HanTa.HanoverTagger import HanoverTagger  # 0.3 s, which whoever imports this module should not pay

    return HanoverTagger("morphmodel_en.pgz")
