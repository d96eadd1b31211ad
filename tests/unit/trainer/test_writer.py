"""Teaching a question writer: which rows it takes, what it writes, and how it refuses."""

import json
import random
import subprocess
import sys

import pytest

from lift.errors import InvalidOption
from lift.teaching import Row
from lift.writing import answer_prompt, question_prompt
from storage.files import MANIFEST
from storage.revisions import Manifest
from storage.validation import validate
from trainer import writer
from trainer.profiles import Hyperparameters

BRIDGE = {"title": "Oss", "window": "", "sentence": "Ada built it.", "question": "Who built it?", "answer": "Ada"}


def write_rows(file, *rows) -> None:
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def test_rows_about_one_sentence_stand_together_and_titles_are_held_out_whole(tmp_path):
    rows = [BRIDGE | {"title": f"Title {n % 40}", "question": f"Who {n}?"} for n in range(80)]
    write_rows(tmp_path / "rows.jsonl", *rows)
    read = writer.read_rows(tmp_path / "rows.jsonl")
    assert sum(map(len, read.taught + read.held_out)) == 80
    assert all(len(passage) == 2 for passage in read.taught)
    titles = [{row.title for passage in part for row in passage} for part in (read.taught, read.held_out)]
    assert titles[1]
    assert not titles[0] & titles[1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line: 2"),
        (json.dumps(BRIDGE | {"answer": " "}), "answer"),
        (json.dumps({"sentence": "Ada built it."}), "question"),
    ],
)
def test_a_line_that_is_no_row_is_named(tmp_path, line, said):
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(BRIDGE)}\n{line}\n")
    with pytest.raises(InvalidOption, match=said):
        writer.read_rows(tmp_path / "rows.jsonl")


def test_a_file_without_rows_is_refused(tmp_path):
    (tmp_path / "rows.jsonl").write_text("\n")
    with pytest.raises(InvalidOption, match="nothing in it"):
        writer.read_rows(tmp_path / "rows.jsonl")


def test_a_row_teaches_to_ask_and_to_read_with_the_texts_of_the_generator(encoder, base):
    passage = [Row(**BRIDGE)]
    texts = [base.tokenizer.decode(example.tokens) for example in writer.examples_of(passage, encoder, titled=True)]
    about = {"title": "Oss", "window": "", "sentence": "Ada built it."}
    assert texts[0].startswith(question_prompt(**about, answer="Ada") + " Who built it?")
    assert texts[1].startswith(answer_prompt(**about, question="Who built it?") + " Ada")
    untitled = writer.examples_of(passage, encoder, titled=False)
    assert "Oss" not in base.tokenizer.decode(untitled[0].tokens)


def test_every_example_is_in_one_batch_and_passages_are_not_torn(encoder):
    passages = [
        writer.examples_of([Row(**BRIDGE | {"sentence": f"Ada built {n}."})], encoder, titled=True) for n in range(7)
    ]
    made = list(writer.batches(passages, 4, random.Random(0)))
    assert sorted(id(example) for batch in made for example in batch) == sorted(
        id(example) for examples in passages for example in examples
    )
    assert [len(batch) for batch in made].count(4) == 3


def test_what_is_written_is_an_adapter_that_engines_take_and_asks_better_than_before(tmp_path, base):
    rows = [
        BRIDGE | {"title": f"T{n}", "sentence": f"Ada built {n}.", "answer": "Ada", "question": "Who built it?"}
        for n in range(48)
    ]
    write_rows(tmp_path / "rows.jsonl", *rows)
    hyperparameters = Hyperparameters(
        rank=8, alpha=16.0, learning_rate=5e-3, epochs=2, batch_size=16, max_pair_tokens=400
    )
    read = writer.read_rows(tmp_path / "rows.jsonl")
    result = writer.teach(read, base, hyperparameters, tmp_path / "made" / "writer")
    assert result["held_out_rows"] > 0
    assert result["held_out_loss"] < result["held_out_loss_before"]
    validate(tmp_path / "made" / "writer", json.loads((base.folder / "config.json").read_bytes()), 8)
    manifest = Manifest.from_bytes((tmp_path / "made" / "writer" / MANIFEST).read_bytes())
    assert (manifest.base_model_revision, manifest.rank) == (base.revision, 8)


@pytest.mark.parametrize("data", ["missing.jsonl", "empty.jsonl"])
def test_the_command_says_what_is_wrong_in_one_sentence(tmp_path, data):
    (tmp_path / "empty.jsonl").write_text("")
    command = [sys.executable, "-m", "trainer.writer", "train", "--data", str(tmp_path / data), "--out"]
    ended = subprocess.run([*command, str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert len(ended.stderr.strip().splitlines()) == 1
    assert data in ended.stderr
    assert not (tmp_path / "out").exists()
