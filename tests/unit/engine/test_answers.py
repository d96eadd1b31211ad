"""Whose voice answers, what it is asked with, and what stops it. The in-memory engine says the prompt backwards."""

from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from lift.errors import EngineUnavailable, InvalidOption, RevisionNotResident
from lift.template import PromptTemplate
from server.engine.answers import Answers, Question
from server.engine.llm import Sampling
from server.pieces import End, Piece, Token
from storage.scope import Scope

CHATML = PromptTemplate.named("chatml")
CHAT = (("user", "how long is it ?"),)


@pytest.fixture
def answers(llm, slots) -> Answers:
    return Answers(llm, slots, CHATML, b"secret")


def question(prompt: Any = "how long", **changes: Any) -> Question:
    asked: dict[str, Any] = {"tenant": "acme", "revision": None, "sampling": Sampling(max_tokens=20)}
    return Question(prompt=prompt, **{**asked, **changes})


async def answered(answers: Answers, question: Question) -> tuple[str, End]:
    pieces = [piece async for piece in answers.answer(question)]
    assert isinstance(pieces[-1], End)
    return "".join(piece.text for piece in pieces[:-1]).strip(), pieces[-1]


async def test_the_base_model_answers_where_no_revision_is_named(answers) -> None:
    text, end = await answered(answers, question())
    assert text == "base long how <s>"
    assert end == End(finish_reason="stop", prompt_tokens=3, completion_tokens=4, context_truncated=False)


async def test_a_revision_is_asked_with_its_own_template(answers, slots, revision) -> None:
    await slots.load(revision("a"))
    text, _ = await answered(answers, question(CHAT, revision=revision("a")))
    assert text == "acme/a/aaaaaaaa assistant: ? it is long how user:"
    text, _ = await answered(answers, question(CHAT))
    assert text == "base <|im_start|>assistant ?<|im_end|> it is long how <|im_start|>user"


async def test_the_base_model_answers_what_a_revision_is_not_about(answers, slots, llm, shelf, revision) -> None:
    known, other, between = llm.encode("tides ebb and")
    shelf.scope = Scope(np.array([1.0, -1.0, 0.0], dtype=np.float32)[[known, other, between]])
    await slots.load(revision("a"))

    async def voice(*turns: tuple[str, str]) -> tuple[str, bool]:
        text, end = await answered(answers, question(turns, revision=revision("a")))
        return text.split()[0], end.out_of_scope

    assert await voice(("user", "tides")) == ("acme/a/aaaaaaaa", False)
    assert await voice(("user", "ebb")) == ("base", True)
    assert await voice(("user", "and")) == ("base", True)
    assert await voice(("user", "tides"), ("assistant", "and"), ("user", "ebb")) == ("acme/a/aaaaaaaa", False)
    assert await voice(("user", "ebb"), ("assistant", "tides"), ("user", "and")) == ("base", True)
    text, end = await answered(answers, question("ebb", revision=revision("a")))
    assert (text.split()[0], end.out_of_scope) == ("acme/a/aaaaaaaa", False)


async def test_a_revision_that_is_not_resident_does_not_answer(answers, revision) -> None:
    with pytest.raises(RevisionNotResident):
        await answered(answers, question(revision=revision("a")))


async def test_a_revision_is_held_while_it_answers(answers, slots, llm, revision, until) -> None:
    await slots.load(revision("a"))
    async with aclosing(answers.answer(question(revision=revision("a")))) as pieces:
        await anext(pieces)
        await slots.load(revision("b"))
        await slots.load(revision("c"))
        assert slots.resident == (revision("a"), revision("c"))
    await slots.load(revision("d"))
    assert slots.resident == (revision("c"), revision("d"))


def likely(text: str, *others: str) -> Token:
    """What the in-memory engine says of a word and the likeliest in its place."""
    logprob = -float(len(text))
    return Token(
        text=text, logprob=logprob, top={**{other: -float(n) for n, other in enumerate(others)}, text: logprob}
    )


async def test_an_answer_says_how_likely_its_tokens_were_where_that_is_asked(answers) -> None:
    asked = question("how", sampling=Sampling(max_tokens=2, logprobs=1))
    *pieces, end = [piece async for piece in answers.answer(asked)]
    assert pieces == [
        Piece(text="base ", tokens=(likely("base ", "likely 0"),)),
        Piece(text="how ", tokens=(likely("how ", "likely 0"),)),
    ]
    assert end.completion_tokens == 2


async def test_an_echo_is_the_text_without_what_the_tokenizer_put_before_it(answers) -> None:
    asked = question("how long", sampling=Sampling(max_tokens=1, logprobs=0, echo=True))
    piece, end = [piece async for piece in answers.answer(asked)]
    assert piece.text == "how longbase "
    assert piece.tokens == (Token(text="how "), likely("long"), likely("base "))
    assert (end.prompt_tokens, end.completion_tokens) == (3, 1)


async def test_an_echo_alone_costs_no_token_of_an_answer(answers) -> None:
    asked = question("how long", sampling=Sampling(max_tokens=0, logprobs=0, echo=True))
    piece, end = [piece async for piece in answers.answer(asked)]
    assert piece == Piece(text="how long", tokens=(Token(text="how "), likely("long")))
    assert end == End(finish_reason="length", prompt_tokens=3, completion_tokens=0, context_truncated=False)


async def test_an_echo_without_log_probabilities_is_text_only(answers) -> None:
    asked = question("how long", sampling=Sampling(max_tokens=1, echo=True))
    piece, _ = [piece async for piece in answers.answer(asked)]
    assert piece == Piece(text="how longbase ")


async def test_a_conversation_is_not_echoed(answers) -> None:
    with pytest.raises(InvalidOption):
        await answered(answers, question(CHAT, sampling=Sampling(max_tokens=1, echo=True)))


async def test_closing_an_answer_stops_the_writing(answers, llm) -> None:
    llm.paused = True
    async with aclosing(answers.answer(question())) as pieces:
        assert await anext(pieces) == Piece(text="base ")
        assert llm.answering[0] == 1
    assert llm.answering[0] == 0


async def test_a_dead_engine_says_so(answers, llm) -> None:
    llm.dead = True
    with pytest.raises(EngineUnavailable):
        await answered(answers, question())


async def test_only_questions_of_one_tenant_share_a_salt(answers, llm) -> None:
    for tenant in ("acme", "other", "acme"):
        await answered(answers, question(tenant=tenant))
    assert llm.salts[0] == llm.salts[2] != llm.salts[1]
    assert "acme" not in llm.salts[0]
