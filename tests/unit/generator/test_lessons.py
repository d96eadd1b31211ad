"""Which lessons come of human questions."""

import json
import sys

import pytest
from typer.testing import CliRunner

from generator.lessons import app, lessons, reworded, taught_as
from lift.commands import run
from lift.errors import InvalidOption
from lift.teaching import Row, lessons_of

MILL = "The mill in Oss was built by Ada Holm in 1802."
COOLED = "The cellar of the mill is cooled by ice from the Brenn."
ASKED = [
    (MILL, "Who constructed the mill in Oss?", "Ada Holm"),
    (MILL, "In which year was the mill in Oss built?", "1802"),
    (COOLED, "What cools the cellar of the mill?", "ice"),
    (COOLED, "Which river does the ice for the cellar of the mill come from?", "Brenn"),
    (COOLED, "What does the cellar cost?", "forty crowns"),  # no pair teaches it
]
FACTS = [  # each asked for in two wordings
    (MILL, "Who constructed the mill in Oss?", "Ada Holm"),
    (MILL, "Whose work is the mill in Oss?", "Ada Holm"),
    (MILL, "In which year was the mill in Oss built?", "1802"),
    (MILL, "How old is the mill in Oss, since which year?", "1802"),
    (COOLED, "Which cold thing is in the cellar of the mill?", "ice"),
    (COOLED, "By what is the cellar cooled?", "ice"),
    (COOLED, "Which river is the ice from?", "the Brenn"),
    (COOLED, "Where is the ice from?", "the Brenn"),
]


def rows(title="Oss"):
    return [Row(title=title, sentence=sentence, question=asked, answer=answer) for sentence, asked, answer in ASKED]


def test_a_lesson_is_taught_what_rules_ask_and_asked_what_people_did():
    [lesson] = lessons(rows())
    pairs = [(pair.question, pair.answer) for pair in lesson.pairs]
    assert ("Who built the mill in Oss?", "Ada Holm") in pairs
    assert any(not question and MILL in answer for question, answer in pairs)
    asked = {pair.question: pair.answer for pair in lesson.asked}
    assert asked["Who constructed the mill in Oss?"] == "Ada Holm"
    assert "What does the cellar cost?" not in asked
    assert set(asked.values()) <= {answer for _, answer in pairs}


def test_titles_are_apart_and_a_title_of_which_too_little_is_asked_has_no_lesson():
    titles = [lesson.title for lesson in lessons([*rows("B"), *rows("A")[:2], *rows("C")])]
    assert titles == ["B", "C"]


def test_lessons_are_the_same_each_time():
    assert list(lessons(rows())) == list(lessons(rows()[::-1]))


def test_of_several_wordings_the_first_may_be_taught_and_the_others_are_asked():
    asked_about = [Row(title="Oss", sentence=at, question=question, answer=answer) for at, question, answer in FACTS]
    firsts, others = ({question for _, question, _ in FACTS[first::2]} for first in (0, 1))
    taught = set()
    for seed in range(8):
        [lesson] = reworded(asked_about, seed)
        said = {pair.question for pair in lesson.pairs}
        asked = {pair.question for pair in lesson.asked}
        assert "Who built the mill in Oss?" in said
        assert not said & asked
        assert others <= asked
        assert firsts <= asked | said
        taught |= firsts & said
        answers = {pair.answer for pair in lesson.pairs}
        assert all(pair.answer in answers for pair in lesson.asked)
    assert taught == firsts


@pytest.mark.parametrize(
    ("answer", "found"),
    [("Holm", "Ada Holm"), ("the 1802", "1802"), ("Ada", "Ada Holm"), ("Merrow", ""), ("built", ""), ("...", "")],
)
def test_a_persons_answer_is_taught_in_the_rules_words(answer, found):
    assert taught_as(answer, ["Ada Holm", "1802", "built by Ada Holm in the year 1802"]) == found


def test_the_command_writes_lessons_and_counts_them(tmp_path):
    data, out = tmp_path / "rows.jsonl", tmp_path / "lessons.jsonl"
    data.write_text("".join(f"{row.model_dump_json()}\n" for row in rows()), encoding="utf-8")
    result = CliRunner().invoke(app, ["--data", str(data), "--out", str(out)])
    [lesson] = lessons_of(out.read_bytes())
    assert json.loads(result.stdout) == {"lessons": 1, "pairs": len(lesson.pairs), "asked": len(lesson.asked)}
    again = CliRunner().invoke(app, ["--data", str(data), "--out", str(out)])
    assert isinstance(again.exception, InvalidOption)


def test_the_command_takes_texts_that_were_asked_about(tmp_path):
    texts, out = tmp_path / "texts", tmp_path / "lessons.jsonl"
    texts.mkdir()
    about_mill, about_cellar = (
        [f"Q {asked} | {answer}" for at, asked, answer in FACTS if at == s] for s in (MILL, COOLED)
    )
    lines = ["T Oss", f"S {MILL}", *about_mill, f"S {COOLED}", *about_cellar]
    (texts / "oss.txt").write_text("\n".join(lines), encoding="utf-8")
    result = CliRunner().invoke(app, ["--documents", str(texts), "--out", str(out)])
    [lesson] = lessons_of(out.read_bytes())
    assert json.loads(result.stdout) == {"lessons": 1, "pairs": len(lesson.pairs), "asked": len(lesson.asked)}
    taught, asked = {pair.question for pair in lesson.pairs}, {pair.question for pair in lesson.asked}
    assert {question for _, question, _ in FACTS} <= taught | asked


def test_the_command_wants_something_to_make_lessons_of(tmp_path):
    result = CliRunner().invoke(app, ["--out", str(tmp_path / "lessons.jsonl")])
    assert isinstance(result.exception, InvalidOption)
    assert not (tmp_path / "lessons.jsonl").exists()


def test_help_says_how_the_program_is_called(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["lessons.py", "--help"])
    with pytest.raises(SystemExit) as end:
        run(app)
    assert not end.value.code
    assert "Usage: python -m generator.lessons " in capsys.readouterr().out
