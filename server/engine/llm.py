"""The seam between what serves answers and what computes them: `vllm_engine`, and its in-memory twin `memory`."""

import math
from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from lift.errors import InvalidOption

MAX_TEMPERATURE = 2.0
MAX_STOPS = 16
MAX_STOP_CHARACTERS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen: the only sampling fields that reach vLLM, each tried on CPU.

    A seed with a temperature above 0 ends vLLM's engine process on CPU, so there is none.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    stop_tokens: tuple[int, ...] = ()

    @classmethod
    def checked(cls, *, max_tokens: int, temperature: float, top_p: float, stop: Sequence[str]) -> Self:
        """The values themselves; InvalidOption where one is out of range."""
        if max_tokens < 1:
            raise InvalidOption(option="max_tokens", value=max_tokens, expected="at least 1")
        if not (math.isfinite(temperature) and 0 <= temperature <= MAX_TEMPERATURE):
            raise InvalidOption(option="temperature", value=temperature, expected=f"0 to {MAX_TEMPERATURE}")
        if not 0 < top_p <= 1:
            raise InvalidOption(option="top_p", value=top_p, expected="above 0, at most 1")
        if len(stop) > MAX_STOPS or any(not 0 < len(text) <= MAX_STOP_CHARACTERS for text in stop):
            expected = f"at most {MAX_STOPS} texts of 1 to {MAX_STOP_CHARACTERS} characters"
            raise InvalidOption(option="stop", expected=expected)
        return cls(max_tokens=max_tokens, temperature=temperature, top_p=top_p, stop=tuple(stop))


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
    """The next piece of an answer. `finish_reason` is empty until the last: then stop, length or abort."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class LLM(Protocol):
    """One base model with adapters beside it. Every method may raise EngineUnavailable: the model is gone for good."""

    @property
    def window(self) -> int:
        """Tokens of prompt and answer together."""
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
