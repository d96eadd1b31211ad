"""What an answer is passed on in: texts, and the tokens they are made of where somebody asks how likely those are."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token's text and log-probability; in `top` that of itself and of the likeliest in its place, by text.

    The first token of a prompt has a text only.
    """

    text: str
    logprob: float | None = None
    top: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The next piece of an answer's text, and the next tokens where they are asked for.

    The two need not match: text that may yet become a stop text waits, and what ends an answer is a token only.
    """

    text: str
    tokens: tuple[Token, ...] = ()
