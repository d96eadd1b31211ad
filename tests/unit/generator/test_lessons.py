"""Which lessons come of human questions."""

import json

import pytest
from typer.testing import CliRunner

from generator.lessons import app, lessons, taught_as
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
