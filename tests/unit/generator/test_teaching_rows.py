"""Which human questions a writer is taught on."""

import json
import sys
import traceback
from pathlib import Path

import pytest
from typer.testing import CliRunner

from generator.teaching_rows import app, can_be_asked
from lift.commands import run
from lift.errors import InvalidOption
from lift.teaching import Row, rows_of

ROW = {
    "title": "Oss",
    "window": "",
    "sentence": "The mill in Oss was built by Ada Holm in 1802.",
    "question": "Who constructed the mill?",
    "answer": "Ada Holm",
}


@pytest.mark.parametrize(
    ("changed", "chosen"),
    [
        ({}, True),
        ({"question": "Who constructed the mill in Berlin?"}, False),  # a name of elsewhere in the article
        ({"question": "Which famous merchant family paid for the mill?"}, False),
        ({"question": "When did she build the mill?", "answer": "1802"}, False),
        ({"question": "Did Ada Holm build the mill?"}, False),  # its answer is in it
        ({"question": "Who built the mill"}, False),
        ({"window": "A word. " * 60}, False),
        ({"answer": "The mill in Oss was built by Ada Holm in 1802 exactly"}, False),
    ],
)
def test_a_question_speaks_of_its_passage_alone(changed: dict[str, str], chosen: bool) -> None:
    assert can_be_asked(Row(**ROW | changed)) is chosen


def test_rows_are_chosen_as_they_stand(tmp_path: Path) -> None:
    data, out = tmp_path / "rows.jsonl", tmp_path / "chosen.jsonl"
    kept, left = json.dumps(ROW), json.dumps(ROW | {"question": "Who?"})
    data.write_text(f"{kept}\n\n{left}\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["--data", str(data), "--out", str(out)])
    assert json.loads(result.stdout) == {"rows": 2, "chosen": 1, "added": 0}
    assert out.read_text(encoding="utf-8") == f"{kept}\n"
    again = CliRunner().invoke(app, ["--data", str(data), "--out", str(out)])
    assert isinstance(again.exception, InvalidOption)


def test_texts_that_were_asked_about_are_added_as_they_are(tmp_path: Path) -> None:
    data, out, documents = tmp_path / "rows.jsonl", tmp_path / "chosen.jsonl", tmp_path / "documents"
    data.write_text(f"{json.dumps(ROW)}\n", encoding="utf-8")
    documents.mkdir()
    (documents / "a.txt").write_text("T A\nS Ida wove it.\nQ Whose hands made the cloth? | Ida\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["--data", str(data), "--out", str(out), "--documents", str(documents)])
    assert json.loads(result.stdout) == {"rows": 1, "chosen": 1, "added": 1}
    _, added = rows_of(out.read_bytes())
    assert added[1] == Row(title="A", sentence="Ida wove it.", question="Whose hands made the cloth?", answer="Ida")


@pytest.mark.parametrize(
    "line", ["no JSON", "[]", '{"sentence": "A.", "question": "B?"}', '{"sentence": 1}', '["Ada Merrow"]']
)
def test_a_line_that_is_no_row_is_named(tmp_path: Path, line: str) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text(f"{json.dumps(ROW)}\n{line}\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["--data", str(data), "--out", str(tmp_path / "chosen.jsonl")])
    assert isinstance(result.exception, InvalidOption)
    assert result.exception.facts["line"] == 2
    assert "Merrow" not in "".join(traceback.format_exception(result.exception))


def test_help_says_how_the_program_is_called(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["teaching_rows.py", "--help"])
    with pytest.raises(SystemExit) as end:
        run(app)
    assert not end.value.code
    assert "Usage: python -m generator.teaching_rows " in capsys.readouterr().out
