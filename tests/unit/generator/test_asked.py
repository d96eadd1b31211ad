"""Texts that were asked about, as rows."""

from pathlib import Path

import pytest

from generator.asked import rows_of_folder, rows_of_text
from lift.errors import InvalidOption

TEXT = """T The mill of Oss
S Oss is old.
S It lies low.
S Its mill grinds rye.
S Ada Holm built it in 1802.

Q Who built the mill of Oss? | ada holm
Q How many | in years | is it old? | 1802
"""


def test_a_row_has_the_two_sentences_before_its_own() -> None:
    first, second = rows_of_text(TEXT, "oss.txt")
    assert (first.title, first.window) == ("The mill of Oss", "It lies low. Its mill grinds rye.")
    assert (first.sentence, first.question) == ("Ada Holm built it in 1802.", "Who built the mill of Oss?")
    assert first.answer == "Ada Holm"  # as the sentence has it
    assert (second.question, second.answer) == ("How many | in years | is it old?", "1802")


def test_a_sentence_from_elsewhere_has_what_stood_before_it() -> None:
    taken = "T A\nS One.\nB Before.\nS Two.\nQ Which? | two\nB\nS Three.\nQ Which? | three\n"
    assert [row.window for row in rows_of_text(taken, "a.txt")] == ["Before.", ""]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("Q Who built it? | Ida", "words of its sentence"),
        ("Q Who built it?", "words of its sentence"),
        ("Q  | Ada", "words of its sentence"),
        ("Who built it? | Ada", "begins with"),
    ],
)
def test_a_line_that_says_something_else_is_named(line: str, problem: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        list(rows_of_text(f"S Ada built it.\n{line}\n", "a.txt"))
    assert (refused.value.facts["value"], refused.value.facts["line"]) == ("a.txt", 2)
    assert problem in refused.value.facts["problem"]


def test_a_question_before_any_sentence_is_refused() -> None:
    with pytest.raises(InvalidOption):
        list(rows_of_text("T A\nQ Who? | Ada\n", "a.txt"))


def test_a_folders_texts_are_read_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption):
        list(rows_of_folder(tmp_path))
    (tmp_path / "c.txt").write_bytes(b"S Caf\xe9.\n")
    with pytest.raises(InvalidOption, match="UTF-8"):
        list(rows_of_folder(tmp_path))
    (tmp_path / "c.txt").unlink()
    (tmp_path / "b.txt").write_text("S Two.\nQ Which? | two\n", encoding="utf-8")
    (tmp_path / "a.txt").write_text("S One.\nQ Which? | one\n", encoding="utf-8")
    assert [row.answer for row in rows_of_folder(tmp_path)] == ["One", "Two"]


def test_what_the_embedded_writer_is_taught_on_can_be_read() -> None:
    rows = list(rows_of_folder(Path(__file__).parents[3] / "teaching" / "invented"))
    assert len(rows) == 35224
