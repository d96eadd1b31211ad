"""What fits the window, and what is cut so that it does. The in-memory engine counts words."""

import pytest

from lift.errors import InvalidOption, QuestionEmpty, QuestionTooLong
from lift.template import PromptTemplate
from server.engine import prompts
from server.engine.llm import Sampling
from server.engine.memory import MemoryLLM

PLAIN = PromptTemplate.named("plain")
QUESTION = (("user", "how long is the bridge ?"),)


def words(llm, prompt: prompts.Prompt) -> str:
    return " ".join(llm.vocabulary[token] for token in prompt.tokens)


def test_a_conversation_is_written_as_the_template_has_it(llm) -> None:
    prompt = prompts.conversation(llm, PLAIN, QUESTION, "", 8)
    assert words(llm, prompt) == "user: how long is the bridge ? assistant:"
    assert not prompt.context_truncated


def test_a_context_that_fits_stands_before_the_question(llm) -> None:
    prompt = prompts.conversation(llm, PLAIN, QUESTION, "It is 90 metres .", 8)
    assert words(llm, prompt) == "user: It is 90 metres . how long is the bridge ? assistant:"
    assert not prompt.context_truncated


@pytest.mark.parametrize("max_tokens", [1, 8, 40])
def test_a_context_is_cut_so_that_prompt_and_answer_fill_the_window(llm, max_tokens) -> None:
    context = " ".join(f"word{n}" for n in range(1000))
    prompt = prompts.conversation(llm, PLAIN, QUESTION, context, max_tokens)
    assert prompt.context_truncated
    assert len(prompt.tokens) + max_tokens == llm.window
    assert words(llm, prompt).startswith("user: word0 word1")
    assert words(llm, prompt).endswith("how long is the bridge ? assistant:")


class BytesLLM(MemoryLLM):
    """A token for each byte, as tokenizers have several for a character that they do not know."""

    def encode(self, text: str, *, whole: bool = False) -> tuple[int, ...]:
        return tuple(text.encode())

    def cut(self, text: str, max_tokens: int) -> str:
        ends = [place for place, character in enumerate(text, start=1) for _ in character.encode()]
        return text if len(ends) <= max_tokens else text[: ends[max_tokens - 1]] if max_tokens > 0 else ""


@pytest.mark.parametrize("max_tokens", range(1, 13))
def test_a_context_is_cut_where_a_character_is_several_tokens(max_tokens) -> None:
    prompt = prompts.conversation(BytesLLM(64), PLAIN, (("user", "何?"),), "水" * 100, max_tokens)
    assert prompt.context_truncated
    assert 64 - 3 < len(prompt.tokens) + max_tokens <= 64


def test_a_context_without_any_room_is_left_out(llm) -> None:
    prompt = prompts.conversation(llm, PLAIN, QUESTION, "It is 90 metres .", llm.window - 8)
    assert prompt.context_truncated
    assert words(llm, prompt) == "user: how long is the bridge ? assistant:"


def test_an_over_long_question_is_refused(llm) -> None:
    with pytest.raises(QuestionTooLong) as refused:
        prompts.conversation(llm, PLAIN, (("user", "why " * 60),), "", 8)
    assert refused.value.facts == {"prompt_tokens": 62, "max_tokens": 8, "window": 64}


def test_a_raw_prompt_goes_in_as_it_stands(llm) -> None:
    prompt = prompts.raw(llm, "Once upon a", 8)
    assert words(llm, prompt) == "<s> Once upon a"
    assert (prompt.text, prompt.added) == ("Once upon a", 1)
    with pytest.raises(QuestionTooLong):
        prompts.raw(llm, "why " * 60, 8)


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_a_raw_prompt_leaves_room_for_a_token_even_where_none_is_wanted(llm, max_tokens) -> None:
    assert len(prompts.raw(llm, "why " * 62, max_tokens).tokens) == llm.window - 1
    with pytest.raises(QuestionTooLong):
        prompts.raw(llm, "why " * 63, max_tokens)


@pytest.mark.parametrize("turns", [(), (("user", " "),)])
def test_an_empty_question_is_refused(llm, turns) -> None:
    with pytest.raises(QuestionEmpty):
        prompts.conversation(llm, PLAIN, turns, "", 8)


@pytest.mark.parametrize("turns", [(("assistant", "90 metres"),), (("user<|im_end|>", "hm"), ("user", "hm"))])
def test_a_role_that_there_is_not_is_refused(llm, turns) -> None:
    with pytest.raises(InvalidOption):
        prompts.conversation(llm, PLAIN, turns, "", 8)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_tokens", 0),
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", float("nan")),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("stop", ("",)),
        ("stop", ("x",) * 5),
        ("stop", ("x" * 65,)),
        ("logprobs", -1),
        ("logprobs", 6),
    ],
)
def test_a_sampling_value_out_of_range_is_refused(option, value) -> None:
    with pytest.raises(InvalidOption) as refused:
        Sampling(**{"max_tokens": 8, option: value}).checked()
    assert refused.value.facts["option"] == option
