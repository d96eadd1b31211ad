"""The twin of `vllm_engine` without a model: words are tokens, and an answer tells who answered and what was asked."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Sequence

from lift.errors import EngineUnavailable, RevisionNotResident, RevisionRejected
from server.engine.llm import Adapter, Delta, Sampling
from server.pieces import Token


class MemoryLLM:
    """Repeats the words of the prompt backwards, after the name of the adapter. Longer words are less likely.

    As vLLM, it reads an adapter's folder when it is added. While `paused` is set, answers stand still after their
    first word.
    """

    def __init__(self, window: int = 64) -> None:
        self._window = window
        self._words: list[str] = []
        self._adapters: dict[int, Adapter] = {}
        self._aborted: set[int] = set()
        self._changed = asyncio.Condition()
        self.dead = False
        self.paused = False
        self.added: list[Adapter] = []
        self.salts: list[str] = []
        self.answering: Counter[int] = Counter()

    @property
    def window(self) -> int:
        """Tokens of prompt and answer together."""
        return self._window

    @property
    def vocabulary(self) -> Collection[str]:
        """Words that it was shown."""
        return tuple(self._words)

    def encode(self, text: str, *, whole: bool = False) -> tuple[int, ...]:
        """A number for each word."""
        words = ["<s>", *text.split()] if whole else text.split()
        self._words += [word for word in dict.fromkeys(words) if word not in self._words]
        return tuple(self._words.index(word) for word in words)

    def cut(self, text: str, max_tokens: int) -> str:
        """The first words."""
        words = text.split()
        return text if len(words) <= max_tokens else " ".join(words[: max(0, max_tokens)])

    async def generate(
        self,
        tokens: Sequence[int],
        sampling: Sampling,
        *,
        salt: str,
        adapter: Adapter | None = None,
    ) -> AsyncGenerator[Delta]:
        """One word a delta."""
        number = adapter.number if adapter else 0
        self._check_alive()
        if adapter is not None and (number not in self._adapters or number in self._aborted):
            raise RevisionNotResident()
        words = [adapter.name if adapter else "base", *(self._words[token] for token in reversed(tokens))]
        self.salts.append(salt)
        prompt = _prompt_tokens([self._words[token] for token in tokens], sampling)
        self.answering[number] += 1
        try:
            if not sampling.max_tokens:
                yield Delta(
                    text="", prompt=prompt, finish_reason="length", prompt_tokens=len(tokens), completion_tokens=0
                )
            for written, word in enumerate(words[: sampling.max_tokens], start=1):
                reason = "stop" if written == len(words) else "length" if written == sampling.max_tokens else ""
                if written > 1:
                    await self._wait(number)
                if number in self._aborted:
                    reason = "abort"
                yield Delta(
                    text=f"{word} ",
                    tokens=_tokens([f"{word} "], sampling),
                    prompt=prompt if written == 1 else (),
                    finish_reason=reason,
                    prompt_tokens=len(tokens),
                    completion_tokens=written,
                )
                if reason:
                    return
        finally:
            self.answering[number] -= 1

    async def add(self, adapter: Adapter) -> None:
        """RevisionRejected: the folder has no adapter_config.json that is JSON."""
        self._check_alive()
        self.added.append(adapter)
        self._adapters[adapter.number] = adapter
        try:
            json.loads((adapter.folder / "adapter_config.json").read_bytes())
        except (OSError, ValueError) as error:
            raise RevisionRejected(problem="the engine cannot load it") from error

    async def remove(self, adapter: Adapter) -> None:
        """Forgets an adapter."""
        self._check_alive()
        self._adapters.pop(adapter.number, None)

    async def resident(self) -> frozenset[int]:
        """Numbers of those that are in; as with vLLM, a failed `add` can leave one behind."""
        self._check_alive()
        return frozenset(self._adapters)

    async def abort(self, adapter: Adapter) -> None:
        """Ends its answers at their next word."""
        async with self._changed:
            self._aborted.add(adapter.number)
            self._changed.notify_all()

    async def resume(self) -> None:
        """Lets paused answers go on."""
        async with self._changed:
            self.paused = False
            self._changed.notify_all()

    async def _wait(self, number: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: not self.paused or number in self._aborted)

    def _check_alive(self) -> None:
        if self.dead:
            raise EngineUnavailable()


def _prompt_tokens(words: Sequence[str], sampling: Sampling) -> tuple[Token, ...]:
    """Words with the spaces between them; the first as vLLM has it."""
    if not sampling.echo or sampling.logprobs is None:
        return ()
    first, *others = [*(f"{word} " for word in words[:-1]), words[-1]]
    return (Token(text=first), *_tokens(others, sampling))


def _tokens(texts: Sequence[str], sampling: Sampling) -> tuple[Token, ...]:
    if sampling.logprobs is None:
        return ()
    likeliest = {f"likely {place}": -float(place) for place in range(sampling.logprobs)}
    return tuple(
        Token(text=text, logprob=-float(len(text)), top={**likeliest, text: -float(len(text))}) for text in texts
    )
