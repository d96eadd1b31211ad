"""How a text that is too long is put into a prompt."""

import pytest

from evals.context import GAP, Fitting, without_middle
from lift.errors import QuestionTooLong


def test_the_middle_is_left_out():
    assert without_middle("abcdefghijklmnop", 9) == f"ab{GAP}op"
    assert without_middle("short", 9) == "short"


def test_as_much_as_fits_is_asked_with_and_remembered(client):
    fitting = Fitting("begin " + "x" * 5000 + " end")
    for question in ("What?", "Why?"):
        text = fitting.answer(lambda prompt: client.query(None, prompt), question).text
        assert text.startswith("begin ")
        assert text.endswith(f" end\n\n{question}")
    assert [1700 < len(prompt) < 2000 for _, prompt in client.asked] == [True, True]
    assert client.asked[0][1].rpartition("\n\n")[0] == client.asked[1][1].rpartition("\n\n")[0]


def test_the_servers_limit_in_characters_is_kept_too():
    def ask(prompt):
        if len(prompt) > 300:
            raise QuestionTooLong(characters=str(len(prompt)), limit="300")
        return prompt

    assert 200 < len(Fitting("x" * 900).answer(ask, "What?")) <= 300


def test_a_question_that_is_too_long_by_itself_is_refused(client):
    with pytest.raises(QuestionTooLong):
        Fitting("text").answer(lambda prompt: client.query(None, prompt), "What" * 600)
