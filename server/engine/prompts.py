"""Turns a conversation, and the text it is about, into the tokens of a prompt that leaves room for the answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from lift.errors import InvalidOption, QuestionEmpty, QuestionTooLong
from lift.template import PromptTemplate
from server.engine.llm import LLM

ROLES = frozenset({"system", "user", "assistant"})
MAX_CHARACTERS_PER_TOKEN = 64
"""Text beyond this many characters for each free token is not even tokenized."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Token ids, and whether the context had to be cut. A raw prompt's `text` begins behind `added` tokens."""

    tokens: tuple[int, ...]
    context_truncated: bool = False
    text: str = ""
    added: int = 0


def raw(llm: LLM, text: str, max_tokens: int) -> Prompt:
    """A text to go on from as it stands. QuestionEmpty, QuestionTooLong."""
    tokens = llm.encode(text, whole=True)
    if not tokens:
        raise QuestionEmpty()
    _check_room(llm, tokens, max_tokens)
    return Prompt(tokens=tokens, text=text, added=len(llm.encode("", whole=True)))


def conversation(
    llm: LLM, template: PromptTemplate, turns: Sequence[tuple[str, str]], context: str, max_tokens: int
) -> Prompt:
    """Turns as the template writes them, with as much of the start of the context as fits before the last.

    QuestionEmpty, QuestionTooLong, InvalidOption: a role that there is not, or a last turn that is not the user's.
    """
    if not turns or not turns[-1][1].strip():
        raise QuestionEmpty()
    if turns[-1][0] != "user" or any(role not in ROLES for role, _ in turns):
        raise InvalidOption(option="turns", expected="roles system, user and assistant, and a user's turn last")
    tokens = llm.encode(template.render(list(turns)))
    _check_room(llm, tokens, max_tokens)
    room = llm.window - max_tokens - len(tokens)
    kept = llm.cut(context[: room * MAX_CHARACTERS_PER_TOKEN], room)
    while kept:
        with_context = [*turns[:-1], ("user", f"{kept}\n\n{turns[-1][1]}")]
        tokens_with_context = llm.encode(template.render(with_context))
        excess = len(tokens_with_context) + max_tokens - llm.window
        if excess <= 0:
            return Prompt(tokens=tokens_with_context, context_truncated=kept != context)
        shorter = llm.cut(kept, len(llm.encode(kept)) - excess)
        kept = min(shorter, kept[:-1], key=len)  # a character may be several tokens
    return Prompt(tokens=tokens, context_truncated=bool(context))


def _check_room(llm: LLM, tokens: Sequence[int], max_tokens: int) -> None:
    if len(tokens) + max(1, max_tokens) > llm.window:
        raise QuestionTooLong(prompt_tokens=len(tokens), max_tokens=max_tokens, window=llm.window)
