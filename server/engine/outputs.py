"""Turns vLLM's outputs into deltas: tokens as texts, with numbers that JSON can hold. vLLM itself is not imported."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

from server.engine.llm import Delta
from server.pieces import Token

LEAST_LOGPROB = -9999.0
"""Takes the place of minus infinity, as at OpenAI's."""


class Likelihood(Protocol):
    """vLLM's Logprob."""

    logprob: float
    decoded_token: str | None


Likelihoods: TypeAlias = Mapping[int, Likelihood]
"""Of the token in a place and of the likeliest there, by token id."""


def delta(output: Any, prompt: Sequence[int], max_tokens: int, already: int, decode: Callable[[int], str]) -> Delta:
    """What a RequestOutput adds to an answer of `already` tokens.

    vLLM writes at least one token, which is left out where none is wanted.
    """
    piece = output.outputs[0]
    added = Delta(
        text=piece.text,
        tokens=tokens(piece.token_ids, piece.logprobs, decode),
        prompt=tokens(prompt, output.prompt_logprobs, decode),
        finish_reason=piece.finish_reason or "",
        prompt_tokens=len(prompt),
        completion_tokens=already + len(piece.token_ids),
    )
    if max_tokens:
        return added
    reason = "length" if added.finish_reason == "stop" else added.finish_reason
    return replace(added, text="", tokens=(), finish_reason=reason, completion_tokens=0)


def tokens(
    ids: Sequence[int], places: Sequence[Likelihoods | None] | None, decode: Callable[[int], str]
) -> tuple[Token, ...]:
    """One for each place; none where vLLM says nothing. For a prompt's first token it has None."""
    if not places:
        return ()
    return tuple(
        Token(text=decode(id)) if likelihoods is None else _token(id, likelihoods)
        for id, likelihoods in zip(ids, places, strict=True)
    )


def _token(id: int, likelihoods: Likelihoods) -> Token:
    """Where tokens share a text, as parts of characters do, the likeliest has it."""
    own = likelihoods[id]
    rising = sorted(likelihoods.values(), key=_logprob)
    return Token(text=_text(own), logprob=_logprob(own), top={_text(found): _logprob(found) for found in rising})


def _text(likelihood: Likelihood) -> str:
    return likelihood.decoded_token or ""


def _logprob(likelihood: Likelihood) -> float:
    return max(LEAST_LOGPROB, likelihood.logprob)
