"""What is reported of rows: figures, retention, tables by label, pictures."""

from xml.etree import ElementTree as Xml

import pytest

from evals.report import draw, summary, tables
from evals.results import Row


def row(question, method, contains, **more):
    facts = {
        "document": "d",
        "title": "T",
        "text": "Q?",
        "references": ("r",),
        "contains": contains,
        "em": 0.0,
        "f1": 0.5,
    }
    return Row(question=question, method=method, **{**facts, **more})


def test_retention_counts_only_what_the_base_model_answers_right():
    base = [row(str(n), "base", float(n < 4), text=f"{n}?") for n in range(10)]
    lift = [row(str(n), "lift", float(n not in {3, 9}), text=f"{n}?") for n in range(10)]
    figures = summary("forgetting", [*base, *lift], with_retention=True)["methods"]
    assert figures["base"]["retained"] == 1
    assert figures["lift"]["retained"] == 0.75
    assert "| lift | 4 | 75.0% (30% to 95%) |" in tables([*base, *lift], with_retention=True)
    assert figures["lift"]["retained_low"] == pytest.approx(0.3006, abs=1e-4)


def test_questions_that_are_asked_of_each_document_are_not_counted_as_others():
    rows = [
        row(f"{document}{n}", method, float(n > 0), text=f"{n}?", document=document)
        for document in ("one", "two")
        for method in ("base", "lift")
        for n in range(51)
    ]
    found = summary("forgetting", rows, with_retention=True)["methods"]["lift"]
    assert (found["retained"], found["retained_low"]) == (1, pytest.approx(0.9287, abs=1e-4))  # 50 of 50
    assert found["contains_low"] == pytest.approx(0.8969, abs=1e-3)  # 50 of 51
    assert "| lift | 50 | 100.0% (93% to 100%) |" in tables(rows, with_retention=True)
    mixed = [*rows[:52], row("one1", "lift", 0.0, text="1?", document="one"), *rows[53:]]
    assert summary("forgetting", mixed, with_retention=True)["methods"]["lift"]["retained"] == 0.99


def test_rows_without_a_verdict_are_counted_apart_and_are_not_wrong():
    rows = [
        row("1", "lift", 1.0, judge=1.0),
        row("2", "lift", 0.0, judge=0.0),
        row("3", "lift", 1.0, undecided=True),
        row("4", "lift", 1.0),
    ]
    figures = summary("own", rows)["methods"]["lift"]
    assert (figures["judge"], figures["unjudged"]) == (0.5, 1)
    assert "50.0% (9% to 91%) of 2 |" in tables(rows)
    without = summary("own", [rows[3]])["methods"]["lift"]
    assert (without["judge"], without["unjudged"]) == (None, 0)
    assert " of " not in tables([rows[3]]).splitlines()[2]


def test_rows_with_labels_get_a_table_for_each():
    rows = [row(str(n), "lift", float(n), labels={"category": f"c{n}"}) for n in range(2)]
    assert "| category | questions | lift |\n| --- | --- | --- |\n| c0 | 1 | 0.0%" in tables(rows)


def test_rows_that_lack_a_label_are_in_no_group_of_it_and_groups_have_their_own_figures(tmp_path):
    long = [row(str(n), "lift", float(n), labels={"task": "LongQA", "category": f"c{n}"}) for n in range(2)]
    rows = [*long, row("2", "lift", 1.0, labels={"task": "ShortQA"}), row("3", "lift", 1.0, labels={"task": "ShortQA"})]
    by_category, by_task = tables(rows).split("\n\n")[1:]
    assert [line.split("|")[1].strip() for line in by_category.splitlines()[2:]] == ["c0", "c1"]
    assert [line.split("|")[1].strip() for line in by_task.splitlines()[2:]] == ["LongQA", "ShortQA"]
    groups = summary("loogle", rows)["groups"]
    assert {task: found["questions"] for task, found in groups["task"].items()} == {"LongQA": 2, "ShortQA": 2}
    found = {task: found["methods"]["lift"]["contains"] for task, found in groups["task"].items()}
    assert found == {"LongQA": 0.5, "ShortQA": 1}
    assert set(groups["category"]) == {"c0", "c1"}
    draw(tmp_path, "loogle", long)
    assert {file.stem for file in tmp_path.iterdir()} == {"scores", "by-category", "by-task"}


def test_pictures_are_well_formed_and_two_labels_make_a_heat_map(tmp_path):
    cells = [(length, depth) for length in ("1000", "2000") for depth in ("0", "50", "100")]
    rows = [row(f"{length}{depth}", "lift", 1.0, labels={"length": length, "depth": depth}) for length, depth in cells]
    draw(tmp_path, "niah <1>", rows)
    assert {file.stem for file in tmp_path.iterdir()} == {"scores", "by-depth", "by-length", "heat-lift"}
    words = {file.stem: list(Xml.parse(file).getroot().itertext()) for file in tmp_path.iterdir()}  # noqa: S314 - ours
    assert words["heat-lift"].count("100%") == 6
    assert {"niah <1>: 6 questions", "contains", "f1", "lift"} < set(words["scores"])


def test_a_method_that_lacks_a_group_has_no_bar_there(tmp_path):
    rows = [
        row("1", "lift", 1.0, labels={"category": "a"}),
        row("2", "base", 0.0, labels={"category": "b"}),
    ]
    draw(tmp_path, "loogle", rows)
    assert {file.stem for file in tmp_path.iterdir()} == {"scores", "by-category"}
