"""`lift eval` as people and scripts see it."""

import json
import sys

import pytest

from evals import __main__ as command
from lift.commands import run


@pytest.fixture
def lift_eval(capsys, monkeypatch, client, tmp_path):
    """lift_eval(*arguments): exit code, stdout, stderr."""
    monkeypatch.setattr(command, "Client", lambda **_: client)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["lift eval", *map(str, arguments), "--out", str(tmp_path / "out")])
        with pytest.raises(SystemExit) as ended:
            run(command.app)
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


def test_the_last_line_is_one_object_and_progress_is_on_stderr(lift_eval, island, tmp_path):
    code, out, err = lift_eval("own", "--data", island, "--methods", "base,lift", "--json")
    assert code == 0
    found = json.loads(out.splitlines()[-1])
    assert found["methods"]["lift"]["contains"] == 1
    assert "4/4 lift, island" in err
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == found


def test_without_json_the_table_is_printed(lift_eval, island, tmp_path):
    code, out, _ = lift_eval("own", "--data", island, "--limit", "1")
    assert (code, out) == (0, (tmp_path / "out" / "tables.md").read_text())
    assert out.startswith("| method | questions |")


def test_all_methods_are_those_that_the_options_allow(lift_eval, island):
    _, out, _ = lift_eval("own", "--data", island, "--json")
    assert list(json.loads(out)["methods"]) == ["base", "icl", "rag", "lift", "lift+icl", "raw", "templora"]


def test_a_haystacks_question_prompt_is_kept_from_raw_text(lift_eval, client, island):
    arguments = ("--lengths", "100", "--depths", "50", "--methods", "lift,raw,lift+raw", "--train", "strategy=sentence")
    code, _, err = lift_eval("niah", "--data", island, *arguments)
    given = [(options.strategy, options.generation_profile, options.epochs) for options in client.options.values()]
    assert (code, given) == (
        0,
        [("sentence", "needle", None), ("raw", None, 16), ("sentence+raw", "needle", None)],
    ), err


def test_training_options_reach_the_adapters_and_are_the_folders(lift_eval, client, island):
    given = []
    teach = client.ingest
    client.ingest = lambda text, *, options=None, **rest: (given.append(options), teach(text, **rest))[1]
    lift_eval("own", "--data", island, "--methods", "lift", "--train", "epochs=3", "--train", "learning_rate=1e-3")
    assert (given[0].epochs, given[0].learning_rate) == (3, 1e-3)
    code, _, err = lift_eval("own", "--data", island, "--methods", "lift")
    assert (code, "another evaluation" in err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("quiz", "--data", "island.txt"), "benchmark"),
        (("own", "--data", "none.txt"), "no such file"),
        (("own", "--data", "island.txt", "--methods", "base,magic"), "magic"),
        (("own", "--data", "island.txt", "--methods", ","), "methods"),
        (("own", "--data", "island.txt", "--methods", "lift+raw"), "--train strategy="),
        (("own", "--data", "island.txt", "--methods", "lift+raw+icl"), "--train strategy="),
        (("own", "--data", "island.txt", "--methods", "lift+raw", "--train", "strategy=raw"), "asks questions"),
        (("forgetting", "--data", "island.txt", "--methods", "raw"), "expected: base, lift"),
        (("own", "--data", "wrong.txt"), "line: 2"),
        (("own", "--data", "latin.txt"), "UTF-8"),
        (("own", "--data", "blank.txt"), "empty"),
        (("own", "--data", "island.txt", "--train", "colour=red"), "colour"),
        (("own", "--data", "island.txt", "--train", "epochs=many"), "many"),
        (("own", "--data", "island.txt", "--judge-url", "http://judge"), "judge-model"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_1(lift_eval, island, monkeypatch, arguments, sentence):
    folder = island.parent
    monkeypatch.chdir(folder)
    (folder / "wrong.txt").write_text("Text.")
    (folder / "wrong.tsv").write_text("What?\tgoats\nWhat then?\n")
    (folder / "latin.txt").write_bytes("Café.".encode("latin-1"))
    (folder / "blank.txt").write_text(" \n")
    code, out, err = lift_eval(*arguments)
    assert (code, out) == (1, "")
    assert len(err.strip().splitlines()) == 1
    assert sentence in err


@pytest.mark.parametrize("package", ["matplotlib", "bm25s"])
def test_a_missing_package_is_said_before_anything_is_asked(lift_eval, client, island, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    code, out, err = lift_eval("own", "--data", island)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"the package {package}" in err
    assert client.asked == []


def test_a_judge_that_is_down_costs_neither_tables_nor_what_is_printed(lift_eval, island, tmp_path):
    judge = ("--judge-url", "http://127.0.0.1:9/v1", "--judge-model", "wise")
    code, out, err = lift_eval("own", "--data", island, "--methods", "lift", *judge, "--json")
    assert (code, "wise" in err.splitlines()[-1]) == (1, True)
    found = json.loads(out.splitlines()[-1])
    assert (found["methods"]["lift"]["contains"], found["methods"]["lift"]["judge"]) == (1, None)
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == found


def test_a_stack_that_is_not_running_is_said_at_once(capsys, monkeypatch, island, tmp_path):
    monkeypatch.delenv("LIFT_ADDRESS", raising=False)
    arguments = ["own", "--data", str(island), "--out", str(tmp_path / "out"), "--state", str(tmp_path / "state")]
    monkeypatch.setattr(sys, "argv", ["lift eval", *arguments])
    with pytest.raises(SystemExit) as ended:
        run(command.app)
    assert ended.value.code == 1
    assert "lift up" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
