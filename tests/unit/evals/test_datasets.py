"""Files in the benchmarks' own formats, and what is said of files that are not."""

import json

import pytest

from evals.cases import limited, merged
from evals.datasets.forgetting import forgetting
from evals.datasets.loogle import loogle
from evals.datasets.niah import NEEDLE, haystack, niah
from evals.datasets.own import own
from evals.datasets.squad import squad
from evals.errors import DataMalformed
from evals.scores import contains
from lift.errors import InvalidOption


@pytest.fixture
def normans(tmp_path):
    """One article of two paragraphs with three questions."""

    def asked(id_, question, *answers):
        return {"id": id_, "question": question, "answers": [{"text": text, "answer_start": 0} for text in answers]}

    paragraphs = [
        {
            "context": "They came from Norse raiders.",
            "qas": [asked("a", "Who?", "raiders", "Norse raiders", "raiders")],
        },
        {"context": "Rollo led them. In 911.", "qas": [asked("b", "Who led?", "Rollo"), asked("c", "When?", "911")]},
    ]
    file = tmp_path / "squad.json"
    file.write_text(json.dumps({"version": "1.1", "data": [{"title": "The_Normans", "paragraphs": paragraphs}]}))
    return file


def test_squad_has_a_case_for_each_paragraph(normans):
    first, second = squad([normans], per_article=False)
    assert (first.document.title, first.document.text) == ("The Normans", "They came from Norse raiders.")
    assert first.questions[0].references == ("raiders", "Norse raiders")
    assert [question.id for question in second.questions] == ["b", "c"]
    assert second.questions[0].labels == {"article": "The Normans"}


def test_squad_has_one_case_for_a_whole_article(normans):
    (case,) = squad([normans], per_article=True)
    assert case.document.text == "They came from Norse raiders.\n\nRollo led them. In 911."
    assert [question.id for question in case.questions] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ("{\n\n  data", "line: 3"),
        ("[]", "not SQuAD 1.1"),
        ('{"data": [{"title": "T", "paragraphs": [{"context": "C"}]}]}', r"data\[0\].paragraphs\[0\]"),
        (
            '{"data": [{"title": "T", "paragraphs": ['
            '{"context": "C", "qas": [{"id": "i", "question": "Q", "answers": []}]}]}]}',
            "not SQuAD 1.1",
        ),
    ],
)
def test_what_is_not_squad_is_refused_with_its_place(tmp_path, content, fact):
    file = tmp_path / "squad.json"
    file.write_text(content)
    with pytest.raises(DataMalformed, match=fact):
        squad([file], per_article=False)


def test_loogle_reads_pairs_that_are_a_python_literal(tmp_path):
    file = tmp_path / "loogle.jsonl"
    pairs = [
        {"Q": "How many?", "A": "4", "type": "computation", "S": ["x"]},
        {"Q": "Who?", "A": 'It\'s "Vane"', "S": ""},
    ]
    file.write_text(json.dumps({"input": " Text. ", "title": "T", "qa_pairs": str(pairs), "output": "none"}) + "\n")
    (case,) = loogle([file])
    assert case.document.text == "Text."
    assert [question.labels for question in case.questions] == [{"category": "computation"}, {}]
    assert case.questions[1].references == ('It\'s "Vane"',)


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"input": "t", "title": "t", "qa_pairs": "none"}', '{"input": "t", "title": "t", "qa_pairs": "[]"}'],
)
def test_what_is_not_loogle_is_refused_with_its_line(tmp_path, line):
    file = tmp_path / "loogle.jsonl"
    good = {"input": "t", "title": "t", "qa_pairs": "[{'Q': 'q', 'A': 'a'}]"}
    file.write_text(f"{json.dumps(good)}\n\n{line}\n")
    with pytest.raises(DataMalformed, match="line: 3"):
        loogle([file])


def test_the_needle_stands_between_sentences_at_its_depth():
    straw = [f"This is sentence number {number}." for number in range(10, 60)]
    for depth, share in ((0, 0.0), (50, 0.5), (100, 1.0)):
        text = haystack(straw, 1000, depth, start=0)
        before, after = text.split(NEEDLE)
        assert len(before) / len(before + after) == pytest.approx(share, abs=0.03)
        assert len(text) == pytest.approx(1000, abs=20)


def test_niah_has_a_case_for_each_length_depth_and_instance(tmp_path):
    file = tmp_path / "straw.txt"
    file.write_text(" ".join(f"This is sentence number {number}." for number in range(10, 60)))
    cases = niah([file], lengths=(100, 400), depths=(0, 50, 100), instances=2, tokens=lambda text: len(text) // 5)
    assert len(cases) == len({case.document.digest for case in cases}) == 12
    lengths = {case.questions[0].labels["length"]: len(case.document.text) for case in cases}
    assert lengths == {"100": pytest.approx(500, abs=40), "400": pytest.approx(2000, abs=40)}
    question = cases[0].questions[0]
    assert contains(NEEDLE, question.references, question.keywords) == 1
    assert contains("Sit in Dolores Park on a sunny day.", question.references, question.keywords) == 0


def test_two_cells_of_one_haystack_are_asked_each(tmp_path):
    file = tmp_path / "straw.txt"
    file.write_text(" ".join(f"This is sentence number {number}." for number in range(10, 60)))
    cases = niah([file], lengths=(100,), depths=(0, 1, 100), instances=1, tokens=lambda text: len(text) // 5)
    assert [len(case.questions) for case in merged(cases)] == [2, 1]
    with pytest.raises(InvalidOption, match="at most 50"):
        niah([file], lengths=(100,), depths=(0,), instances=51, tokens=len)


@pytest.mark.parametrize(
    "text",
    [
        "This is one clause of a text that never ends, " * 400,
        "\n".join(f"line {number} of a table without an end" for number in range(400)),
        "\u53e5\u5b50\u3002" * 2000,
        "x" * 9000,
        "A sentence of some length is this, which says so much that it hardly ends, but in the end it does end here. "
        * 40,
    ],
    ids=["one clause", "lines", "another script", "one word", "long sentences"],
)
@pytest.mark.parametrize("length", [100, 250, 1000])
def test_a_haystack_has_its_length_whatever_the_text_is(tmp_path, text, length):
    (tmp_path / "straw.txt").write_text(text)
    cells = niah(
        [tmp_path / "straw.txt"], lengths=(length,), depths=(0, 100), instances=1, tokens=lambda text: len(text) // 4
    )
    for case, place in zip(cells, (str.startswith, str.endswith), strict=True):
        assert len(case.document.text) == pytest.approx(4 * length, rel=0.1)
        assert place(case.document.text, NEEDLE)


def test_a_haystack_that_would_be_the_needle_alone_is_refused(tmp_path):
    (tmp_path / "straw.txt").write_text("Some text. " * 100)
    with pytest.raises(InvalidOption, match="lengths"):
        niah([tmp_path / "straw.txt"], lengths=(100,), depths=(0,), instances=1, tokens=lambda text: 2 * len(text))


def test_a_folder_of_texts_is_hay_as_a_file_is(tmp_path):
    for name, text in (("b.txt", "And this the second. " * 40), ("a.txt", "This is the first text. " * 40)):
        (tmp_path / name).write_text(text)
    (case,) = niah([tmp_path], lengths=(400,), depths=(0,), instances=1, tokens=lambda text: len(text) // 4)
    assert case.document.text.startswith(f"{NEEDLE} This is the first text.")
    assert case.document.text.endswith("And this the second.")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidOption, match=r"no \*\.txt"):
        niah([tmp_path / "empty"], lengths=(400,), depths=(0,), instances=1, tokens=len)
    with pytest.raises(InvalidOption, match="a folder"):
        own([tmp_path])


def test_niah_refuses_a_depth_beyond_the_end(tmp_path):
    with pytest.raises(InvalidOption, match="depths"):
        niah([tmp_path], lengths=(1000,), depths=(120,), instances=1, tokens=len)


def test_the_shipped_general_questions_are_asked_about_each_document(tmp_path):
    files = [tmp_path / "one.txt", tmp_path / "two.txt"]
    for file in files:
        file.write_text(f"Text of {file.stem}.")
    one, two = forgetting(files, None)
    assert len(one.questions) >= 50
    assert not {question.id for question in one.questions} & {question.id for question in two.questions}


def test_a_questions_file_is_not_taken_for_the_document(tmp_path):
    with pytest.raises(InvalidOption, match=r"island\.tsv"):
        own([tmp_path / "island.tsv"])


def test_a_limit_counts_questions_and_a_seed_orders_documents(normans):
    cases = squad([normans], per_article=False)
    assert [q.id for case in limited(cases, 2) for q in case.questions] == ["a", "b"]
    assert [q.id for case in limited(cases, None) for q in case.questions] == ["a", "b", "c"]
    orders = {tuple(q.id for case in limited(cases, None, seed) for q in case.questions) for seed in range(10)}
    assert orders == {("a", "b", "c"), ("b", "c", "a")}


def test_files_that_ask_about_one_document_make_one_case(normans):
    paragraphs = squad([normans, normans], per_article=False)
    assert [len(case.questions) for case in merged(paragraphs)] == [1, 2]
