"""`lift eval` on the running stack: what its last line says of documents that nobody has heard of."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

TEXT = (
    "The lighthouse of Vorsk was built in 1844 by Imre Dahl. Its keeper is Saskia Brandt. A boat called Kestrel comes."
)
ASKED = {
    "Who built the lighthouse of Vorsk?": "Imre Dahl",
    "When was the lighthouse of Vorsk built?": "1844",
    "Who is the keeper of the lighthouse?": "Saskia Brandt",
    "What is the boat called?": "Kestrel",
}


def evaluated(stack: Path, folder: Path, *arguments: str) -> Any:
    """What the last line of an evaluation of base model and adapters says."""
    command = [sys.executable, "-m", "lift.cli", "eval", *arguments, "--methods", "base,lift", "--max-tokens", "24"]
    options = ["--out", str(folder / "out"), "--state", str(stack), "--json"]
    environment = {**os.environ, "MPLCONFIGDIR": str(folder)}
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def own(folder: Path) -> Path:
    """A text, with its questions beside it."""
    (folder / "lighthouse.txt").write_text(TEXT)
    (folder / "lighthouse.tsv").write_text("".join(f"{question}\t{answer}\n" for question, answer in ASKED.items()))
    return folder / "lighthouse.txt"


def squad(folder: Path) -> Path:
    """One paragraph in SQuAD's form."""
    asked = [
        {"id": answer, "question": question, "answers": [{"text": answer, "answer_start": TEXT.index(answer)}]}
        for question, answer in ASKED.items()
    ]
    article = {"title": "Vorsk", "paragraphs": [{"context": TEXT, "qas": asked}]}
    (folder / "squad.json").write_text(json.dumps({"version": "1.1", "data": [article]}))
    return folder / "squad.json"


@pytest.mark.parametrize("benchmark", [own, squad])
def test_adapters_answer_what_their_base_model_cannot(stack: Path, tmp_path: Path, benchmark: Any) -> None:
    data = benchmark(tmp_path)
    found = evaluated(stack, tmp_path, benchmark.__name__, "--data", str(data))
    assert (found["benchmark"], found["questions"], found["documents"]) == (benchmark.__name__, len(ASKED), 1)
    base, lift = found["methods"]["base"], found["methods"]["lift"]
    for figures in (base, lift):
        ends = ("", "_low", "_high")
        assert {f"{score}{end}" for score in ("contains", "em", "f1", "judge") for end in ends} <= set(figures)
        assert (figures["failed"], figures["judge"]) == (0, None)
        assert figures["contains_low"] <= figures["contains"] <= figures["contains_high"]
    assert lift["contains"] > base["contains"]
    assert lift["seconds_per_document"] > base["seconds_per_document"] > 0
    assert base["out_of_scope"] == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * len(ASKED)
    assert {"results.jsonl", "summary.json", "tables.md", "scores.svg"} <= {
        file.name for file in data.parent.glob("out/*")
    }
