"""What an answer is passed on in: texts, the tokens they are made of where somebody asks for those, and its end."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How an answer ended, behind its last piece: stop or length, and what it took in tokens.

    `context_truncated`: not all of the context was in the prompt. `out_of_scope`: the base model answered, since the
    question is about something else than the revision.
    """

    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    context_truncated: bool = False
    out_of_scope: bool = False
