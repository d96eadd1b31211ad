"""What is asked of whom, what is kept, and what a rerun leaves out."""

import json

import pytest

from evals.datasets.own import own
from evals.errors import DataMalformed, OutputTaken
from evals.methods import Methods, Setting
from evals.report import summary, tables
from evals.results import Results
from evals.runner import Plan, Runner
from lift.errors import EngineUnavailable
from lift.values import TrainingOptions

ALL = ("base", "icl", "rag", "lift", "lift+icl", "raw", "templora", "lift+raw", "lift+raw+icl")


@pytest.fixture
def evaluated(client, tmp_path):
    """evaluated(files, methods): runs into one folder and returns the rows."""

    def run(files, methods=ALL, **plan):
        results = Results(tmp_path / "out", "own", {"max_tokens": 64})
        training = TrainingOptions(strategy="grounded")
        setting = Setting(client=client, max_tokens=64, run=results.run, training=training)
        runner = Runner(Methods(setting), results, lambda _: None)
        return runner.run(Plan(cases=own(files), methods=methods, **plan))

    return run


def test_every_method_answers_every_question(evaluated, island):
    rows = evaluated([island])
    assert [row.method for row in rows] == [method for method in ALL for _ in range(2)]
    right = {method: [row.contains for row in rows if row.method == method] for method in ALL}
    assert right == {"base": [0, 0], **{method: [1, 1] for method in ALL if method != "base"}}


def test_only_the_adapter_answers_without_the_text_and_training_counts_without_its_queue(evaluated, client, island):
    rows = evaluated([island], ["base", "lift"])
    assert {question for _, question in client.asked} == {"How many goats?", "What is the ferry called?"}
    figures = summary("own", rows)["methods"]
    assert figures["base"]["seconds_per_document"] == 1.0
    assert figures["lift"]["seconds_per_document"] == 11.0


def test_rows_and_figures_say_where_the_base_model_answered_in_an_adapters_place(evaluated, client, island, tmp_path):
    client.out_of_scope = frozenset({"How many goats?"})
    rows = evaluated([island], ["base", "lift"])
    assert [row.out_of_scope for row in rows] == [False, False, True, False]
    assert "out of scope" in tables(rows).splitlines()[0]
    methods = summary("own", rows)["methods"]
    assert {method: figures["out_of_scope"] for method, figures in methods.items()} == {"base": 0, "lift": 1}
    written = map(json.loads, (tmp_path / "out" / "results.jsonl").read_text().splitlines())
    assert sum(row["out_of_scope"] for row in written) == 1


def test_each_way_to_train_has_one_adapter_that_is_deleted_in_the_end(evaluated, client, island):
    adapters = {row.method: row.adapter for row in evaluated([island])}
    assert adapters["lift"] == adapters["lift+icl"]
    assert adapters["lift+raw"] == adapters["lift+raw+icl"]
    trained = ("lift", "raw", "templora", "lift+raw")
    assert client.ingested == [adapters[method] for method in trained]
    strategies = [client.options[adapters[method]].strategy for method in trained]
    assert strategies == ["grounded", "raw", "raw", "grounded+raw"]
    assert client.taught == {}


def test_a_rerun_asks_only_what_is_missing(evaluated, client, island, tmp_path):
    evaluated([island], ["base"])
    asked = len(client.asked)
    rows = evaluated([island], ["base", "icl"])
    assert len(client.asked) == asked + 2
    assert [row.method for row in rows] == ["base", "base", "icl", "icl"]
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 4


def test_a_run_that_an_outage_ended_goes_on_with_its_adapter(evaluated, client, island):
    evaluated([island], ["base"])
    client.broken = EngineUnavailable()
    with pytest.raises(EngineUnavailable):
        evaluated([island], ["base", "lift"])
    client.broken = None
    assert len(evaluated([island], ["base", "lift"])) == 4
    assert len(client.ingested) == 1


def test_several_questions_at_once_have_the_same_answers(evaluated, client, island, tmp_path):
    rows = evaluated([island], ["base", "icl", "lift"], questions_at_once=4)
    (tmp_path / "out" / "results.jsonl").unlink()
    alone = evaluated([island], ["base", "icl", "lift"])
    assert [(row.key, row.answer, row.contains) for row in rows] == [
        (row.key, row.answer, row.contains) for row in alone
    ]


def test_an_outage_among_several_questions_ends_the_run(evaluated, client, island):
    evaluated([island], ["lift"], questions_at_once=4)
    client.broken = EngineUnavailable()
    with pytest.raises(EngineUnavailable):
        evaluated([island], ["base", "lift"], questions_at_once=4)


def test_a_line_that_was_cut_off_is_asked_again(evaluated, client, island, tmp_path):
    evaluated([island], ["base"])
    file = tmp_path / "out" / "results.jsonl"
    file.write_text(file.read_text()[:-20])
    assert len(evaluated([island], ["base"])) == 2
    assert len(client.asked) == 3
    assert all(json.loads(line) for line in file.read_text().splitlines())


def test_rows_may_hold_any_end_of_line_and_be_cut_within_a_character(evaluated, client, tmp_path):
    (tmp_path / "mill.txt").write_text("The mill\u2028is of\u0085stone — all of it.")
    (tmp_path / "mill.tsv").write_text("Of what is the mill?\tstone\n")
    (first,) = evaluated([tmp_path / "mill.txt"], ["lift"])
    assert evaluated([tmp_path / "mill.txt"], ["lift"]) == (first,)
    file = tmp_path / "out" / "results.jsonl"
    content = file.read_bytes()
    file.write_bytes(content[: content.index("—".encode()) + 1])
    (again,) = evaluated([tmp_path / "mill.txt"], ["lift"])
    assert (again.answer, len(client.asked)) == (first.answer, 2)


def test_an_adapter_of_an_earlier_part_of_the_run_is_deleted_too(evaluated, client, island):
    evaluated([island], ["lift"], keep_adapters=True)
    assert client.taught
    evaluated([island], ["lift", "raw"])
    assert client.taught == {}


def test_a_document_that_cannot_be_learned_costs_its_questions_and_is_tried_again(evaluated, client, tmp_path, island):
    (tmp_path / "dull.txt").write_text("This is unteachable.")
    (tmp_path / "dull.tsv").write_text("Is it?\tno\n")
    files = [tmp_path / "dull.txt", island]
    rows = evaluated(files, ["lift"], documents_at_once=2)
    figures = summary("own", rows)["methods"]["lift"]
    assert (figures["failed"], figures["contains"]) == (1, pytest.approx(0.6667))
    assert client.taught == {}
    assert "no question could be written" in next(row.error for row in rows if row.error)
    asked = len(client.asked)
    evaluated(files, ["lift"])
    assert len(client.asked) == asked


def test_the_summary_has_every_score_with_its_interval(evaluated, island):
    found = summary("own", evaluated([island]))
    assert (found["benchmark"], found["questions"]) == ("own", 2)
    for figures in found["methods"].values():
        assert {f"{score}{end}" for score in ("contains", "em", "f1", "judge") for end in ("", "_low", "_high")} < set(
            figures
        )
        assert figures["judge"] is None
        assert figures["contains_low"] <= figures["contains"] <= figures["contains_high"]


def test_the_table_has_a_line_for_each_method(evaluated, island):
    table = tables(evaluated([island], ["base", "icl"]))
    assert "| base | 2 | 0.0% (0% to 66%) |" in table
    assert "| icl | 2 | 100.0% (34% to 100%) |" in table


def test_a_folder_of_another_evaluation_is_refused(evaluated, island, tmp_path):
    evaluated([island], ["base"])
    with pytest.raises(OutputTaken, match="benchmark: own"):
        Results(tmp_path / "out", "squad", {"max_tokens": 64})
    with pytest.raises(OutputTaken, match="max_tokens: 64, wanted: 8"):
        Results(tmp_path / "out", "own", {"max_tokens": 8})
    Results(tmp_path / "out", "own", {"max_tokens": 64}, {"judge": "one"})
    Results(tmp_path / "out", "own", {"max_tokens": 64}, {"llamaindex": "minilm"})
    with pytest.raises(OutputTaken, match="judge: one, wanted: another"):
        Results(tmp_path / "out", "own", {"max_tokens": 64}, {"judge": "another"})
    (tmp_path / "out" / "results.jsonl").write_text("{}\n")
    with pytest.raises(DataMalformed, match="line: 1"):
        Results(tmp_path / "out", "own", {"max_tokens": 64})
