"""Turns a question, to a revision or to the base model, into the pieces of its answer."""

import asyncio
import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from lift.errors import EngineUnavailable, InvalidOption, RevisionNotResident
from lift.template import PromptTemplate
from server.engine import metrics, prompts
from server.engine.llm import LLM, Adapter, Sampling
from server.engine.prompts import Prompt
from server.engine.slots import Slots
from server.pieces import End, Piece, Token
from storage.records import RevisionRef
from storage.scope import Scope

FINISHED = frozenset({"", "stop", "length"})
"""Everything else (abort, error) means that the engine took the answer back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: `prompt` is raw text to go on from, or a conversation of (role, content) turns.

    A tenant's revision is asked, or an adapter of the engine's own, or the base model where there is neither.
    """

    tenant: str
    revision: RevisionRef | None = None
    own: Adapter | None = None
    prompt: str | tuple[tuple[str, str], ...]
    context: str = ""
    sampling: Sampling


class Answers:
    """Answers of one engine. `template` is the base model's; a revision brings its own."""

    def __init__(self, llm: LLM, slots: Slots, template: PromptTemplate, secret: bytes) -> None:
        self._llm = llm
        self._slots = slots
        self._template = template
        self._secret = secret

    async def answer(self, question: Question) -> AsyncGenerator[Piece | End]:
        """Pieces as they are written, then one End. Closing the stream stops the writing.

        RevisionNotResident, QuestionEmpty, QuestionTooLong, InvalidOption, EngineUnavailable.
        """
        async with self._voice(question) as (adapter, template, scope):
            prompt, sampling, in_scope = await asyncio.to_thread(self._understood, question, template, scope)
            writing = self._llm.generate(
                prompt.tokens, sampling, salt=self._salt(question.tenant), adapter=adapter if in_scope else None
            )
            echo = prompt.text if sampling.echo else ""
            async with aclosing(metrics.counted(writing)) as deltas:
                async for delta in deltas:
                    if delta.finish_reason not in FINISHED:
                        raise EngineUnavailable() if question.revision is None else RevisionNotResident()
                    piece = Piece(text=echo + delta.text, tokens=(*_echoed(delta.prompt, prompt.added), *delta.tokens))
                    echo = ""
                    if piece.text or piece.tokens:
                        yield piece
                    if delta.finish_reason:
                        yield End(
                            finish_reason=delta.finish_reason,
                            prompt_tokens=delta.prompt_tokens,
                            completion_tokens=delta.completion_tokens,
                            context_truncated=prompt.context_truncated,
                            out_of_scope=not in_scope,
                        )

    @asynccontextmanager
    async def _voice(self, question: Question) -> AsyncIterator[tuple[Adapter | None, PromptTemplate, Scope | None]]:
        if question.revision is None:
            yield question.own, self._template, None
        else:
            async with self._slots.holding(question.revision) as slot:
                yield slot.adapter, slot.prepared.template, slot.prepared.scope

    def _understood(
        self, question: Question, template: PromptTemplate, scope: Scope | None
    ) -> tuple[Prompt, Sampling, bool]:
        """Its prompt, how it is answered, and whether it is in scope: all that tokenizes, for a thread.

        In scope are raw prompts, and conversations where one of the user's turns is.
        """
        prompt, sampling = self._prompt(question, template), self._sampling(question, template)
        if scope is None or isinstance(question.prompt, str):
            return prompt, sampling, True
        asked = (content for role, content in question.prompt if role == "user")
        return prompt, sampling, any(scope.holds(self._llm.encode(content)) for content in asked)

    def _prompt(self, question: Question, template: PromptTemplate) -> Prompt:
        max_tokens = question.sampling.max_tokens
        if isinstance(question.prompt, str):
            return prompts.raw(self._llm, question.prompt, max_tokens)
        if question.sampling.echo:
            raise InvalidOption(option="echo", expected="a raw prompt")
        return prompts.conversation(self._llm, template, question.prompt, question.context, max_tokens)

    def _sampling(self, question: Question, template: PromptTemplate) -> Sampling:
        """With the template's own end: as a token where it is one, since text of control tokens is not written out."""
        if isinstance(question.prompt, str):
            return question.sampling
        tokens = self._llm.encode(template.stop) if template.stop in self._llm.vocabulary else ()
        if len(tokens) == 1:
            return replace(question.sampling, stop_tokens=tokens)
        return replace(question.sampling, stop=(*question.sampling.stop, template.stop))

    def _salt(self, tenant: str) -> str:
        """Keeps cached prefixes apart by tenant: a hit is quicker, and would tell one tenant what another asked."""
        return hmac.new(self._secret, tenant.encode(), "sha256").hexdigest()


def _echoed(tokens: Sequence[Token], added: int) -> Iterator[Token]:
    """Those of the prompt's text. Nothing of the text stands before its first, so it is told no log-probability."""
    for place, token in enumerate(tokens[added:]):
        yield token if place else Token(text=token.text)
