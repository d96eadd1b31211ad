"""What OpenAI's HTTP API asks for answers: a gateway or an engine behind one seam."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from server.openai_requests import Prompt
from server.pieces import End, Piece

BASE = "base"
"""Names the base model, beside its own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a caller can name as `model`."""

    id: str
    created: int
    owned_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One answer to write; `max_tokens` None leaves the number to the backend.

    `logprobs` asks for tokens, each with so many of the likeliest; `echo` for the prompt before the answer.
    """

    model: str
    prompt: Prompt
    max_tokens: int | None
    temperature: float
    top_p: float
    stop: tuple[str, ...]
    logprobs: int | None
    echo: bool


class Backend(Protocol):
    """What answers. Its methods raise errors of `lift.errors`; an answer that is closed stops being written."""

    async def admit(self, authorization: str) -> None:
        """Lets a caller in, for whom the present task is from now on. CredentialMissing, CredentialWrong."""
        ...

    async def models(self) -> Sequence[Model]:
        """What the caller can ask now."""
        ...

    async def model(self, model: str) -> Model:
        """One of them. NotFound."""
        ...

    def answers_at_once(self) -> int:
        """So many the caller may have at once; 0 means as many as there is room for."""
        ...

    def answer(self, order: Order) -> AsyncGenerator[Piece | End]:
        """Pieces as they are written, then one End."""
        ...
