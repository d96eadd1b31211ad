"""The seam between what serves answers and what computes them: `vllm_engine`, and its in-memory twin `memory`."""

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from lift.errors import InvalidOption
from lift.limits import MAX_LOGPROBS
from server.pieces import Token
from server.sampling import check_sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen, and what is told of them: the only sampling fields that reach vLLM, each tried on CPU.

    A seed with a temperature above 0 ends vLLM's engine process on CPU, so there is none. `logprobs` asks for tokens,
    each with so many of the likeliest; `echo` for the prompt's as well, and then `max_tokens` may be 0.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    stop_tokens: tuple[int, ...] = ()
    logprobs: int | None = None
    echo: bool = False

    def checked(self) -> Self:
        """The values themselves; InvalidOption where one is out of range."""
        if self.max_tokens < (least := 0 if self.echo else 1):
            raise InvalidOption(option="max_tokens", value=self.max_tokens, expected=f"at least {least}")
        check_sampling(self.temperature, self.top_p, self.stop)
        if self.logprobs is not None and not 0 <= self.logprobs <= MAX_LOGPROBS:
            raise InvalidOption(option="logprobs", value=self.logprobs, expected=f"from 0 to {MAX_LOGPROBS}")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One load of a revision. The number is never used again, and name and folder are the revision's alone.

    vLLM keys its prefix cache by name and folder, and after a failed load it may serve a number's last weights.
    """

    number: int
    name: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """The next piece of an answer. `finish_reason` is empty until the last: then stop, length or abort.

    Where tokens are asked for, `tokens` are the answer's next ones, and `prompt` with the first delta the prompt's.
    """

    text: str
    tokens: tuple[Token, ...] = ()
    prompt: tuple[Token, ...] = ()
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class LLM(Protocol):
    """One base model with adapters beside it. Every method may raise EngineUnavailable: the model is gone for good."""

    @property
    def window(self) -> int:
        """Tokens of prompt and answer together; an answer of none takes one, too."""
        ...

    @property
    def vocabulary(self) -> Collection[str]:
        """The tokenizer's tokens."""
        ...

    def encode(self, text: str, *, whole: bool = False) -> tuple[int, ...]:
        """Token ids; `whole` puts the tokens around it that the tokenizer puts around a text of its own."""
        ...

    def cut(self, text: str, max_tokens: int) -> str:
        """The start of a text that is at most that many tokens."""
        ...

    def generate(
        self, tokens: Sequence[int], sampling: Sampling, *, salt: str, adapter: Adapter | None = None
    ) -> AsyncGenerator[Delta]:
        """Writes on from a prompt; closing the stream stops it. Only prompts with one salt share cached prefixes.

        RevisionNotResident: the adapter is not in, or on its way out.
        """
        ...

    async def add(self, adapter: Adapter) -> None:
        """Loads an adapter. RevisionRejected: it cannot be; the caller then removes it."""
        ...

    async def remove(self, adapter: Adapter) -> None:
        """Takes an adapter out, which nothing may use any more; harmless where it is out already."""
        ...

    async def resident(self) -> frozenset[int]:
        """Numbers of the adapters that are in."""
        ...

    async def abort(self, adapter: Adapter) -> None:
        """Ends every answer that uses the adapter, with finish_reason abort, and begins no other."""
        ...
