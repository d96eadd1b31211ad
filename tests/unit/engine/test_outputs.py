"""What vLLM says becomes tokens that JSON can hold. Its outputs are stood in for by objects with the same fields."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from server.engine.llm import Delta
from server.engine.outputs import LEAST_LOGPROB, delta, tokens
from server.pieces import Token

PROMPT = (11, 12, 13)
INFINITE, UNKNOWN = float("-inf"), float("nan")


def place(**logprobs: float) -> dict[int, SimpleNamespace]:
    """A place with tokens numbered from 21 on; as with vLLM, the one that stands there comes first."""
    return {
        id: SimpleNamespace(logprob=logprob, decoded_token=text)
        for id, (text, logprob) in enumerate(logprobs.items(), start=21)
    }


def output(text: str, ids: tuple[int, ...] = (21,), **fields: Any) -> SimpleNamespace:
    """A RequestOutput that adds a text and tokens."""
    piece = {"text": text, "token_ids": ids, "logprobs": None, "finish_reason": None}
    prompt_logprobs = fields.pop("prompt_logprobs", None)
    return SimpleNamespace(outputs=[SimpleNamespace(**{**piece, **fields})], prompt_logprobs=prompt_logprobs)


def decode(id: int) -> str:
    return f"<{id}>"


def test_an_output_without_log_probabilities_is_text_only() -> None:
    found = delta(output(" tide"), PROMPT, 8, 2, decode)
    assert found == Delta(text=" tide", finish_reason="", prompt_tokens=3, completion_tokens=3)


def test_a_token_comes_with_its_own_log_probability_and_those_of_the_likeliest() -> None:
    written = output(" tide", logprobs=[place(tide=-2.5, bell=-0.5)], finish_reason="length")
    (token,) = delta(written, PROMPT, 8, 0, decode).tokens
    assert token == Token(text="tide", logprob=-2.5, top={"tide": -2.5, "bell": -0.5})


def test_a_prompts_first_token_has_a_text_only() -> None:
    ids, places = (20, 21), [None, place(bell=-1.5)]
    assert tokens(ids, places, decode) == (Token(text="<20>"), Token(text="bell", logprob=-1.5, top={"bell": -1.5}))


def test_the_prompts_tokens_come_with_the_first_delta_only() -> None:
    places = [None, {12: SimpleNamespace(logprob=-1.0, decoded_token="b")}]
    first = delta(output("x", prompt_logprobs=places), (11, 12), 8, 0, decode)
    assert [token.text for token in first.prompt] == ["<11>", "b"]
    assert delta(output("y", prompt_logprobs=[]), (11, 12), 8, 1, decode).prompt == ()


@pytest.mark.parametrize("impossible", [INFINITE, UNKNOWN])
def test_what_json_does_not_know_is_replaced(impossible) -> None:
    (token,) = tokens((21,), [place(bell=impossible, tide=-0.1)], decode)
    assert token.logprob == LEAST_LOGPROB
    json.dumps({"top": dict(token.top)}, allow_nan=False).encode()


def test_parts_of_a_character_are_texts_too() -> None:
    part = {21: SimpleNamespace(logprob=-3.0, decoded_token=None), 22: SimpleNamespace(logprob=-1.0, decoded_token="")}
    assert tokens((21,), [part], decode) == (Token(text="", logprob=-3.0, top={"": -1.0}),)


@pytest.mark.parametrize(("said", "told"), [("length", "length"), ("stop", "length"), ("abort", "abort")])
def test_the_token_that_vllm_writes_where_none_is_wanted_is_left_out(said, told) -> None:
    written = output(
        " tide",
        logprobs=[place(tide=-2.5)],
        prompt_logprobs=[None, *[{id: place(a=-1.0)[21]} for id in PROMPT[1:]]],
        finish_reason=said,
    )
    found = delta(written, PROMPT, 0, 0, decode)
    assert (found.text, found.tokens, found.completion_tokens, found.finish_reason) == ("", (), 0, told)
    assert [token.text for token in found.prompt] == ["<11>", "a", "a"]
