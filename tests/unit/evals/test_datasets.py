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


def test_squad_2_is_read_without_the_questions_that_have_no_answer(normans, capsys):
    content = json.loads(normans.read_text())
    asked = content["data"][0]["paragraphs"][1]["qas"]
    asked[0] |= {"is_impossible": True, "answers": [], "plausible_answers": [{"text": "Rollo", "answer_start": 0}]}
    asked[1] |= {"is_impossible": False}
    normans.write_text(json.dumps(content))
    cases = squad([normans], per_article=False)
    assert [question.id for case in cases for question in case.questions] == ["a", "c"]
    assert "squad.json: 1 questions without an answer" in capsys.readouterr().err


def test_squad_needs_neither_title_nor_id_and_may_begin_with_a_byte_order_mark(normans):
    content = json.loads(normans.read_text())
    del content["data"][0]["title"]
    for paragraph in content["data"][0]["paragraphs"]:
        for asked in paragraph["qas"]:
            del asked["id"]
    normans.write_text(json.dumps(content), encoding="utf-8-sig")
    cases = squad([normans], per_article=False)
    assert {case.document.title for case in cases} == {"squad"}
    assert len({question.id for case in cases for question in case.questions}) == 3


def test_questions_that_share_an_id_are_different_questions(normans):
    content = json.loads(normans.read_text())
    for paragraph in content["data"][0]["paragraphs"]:
        for asked in paragraph["qas"]:
            asked["id"] = "1"
    normans.write_text(json.dumps(content))
    for per_article in (False, True):
        cases = merged(squad([normans], per_article=per_article))
        ids = [question.id for case in cases for question in case.questions]
        assert (ids[0], len(ids), len(set(ids))) == ("1", 3, 3)
        again = merged(squad([normans, normans], per_article=per_article))
        assert [question.id for case in again for question in case.questions] == ids


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ("{\n\n  data", "line: 3"),
        ("[]", "not SQuAD 1.1"),
        ('{"data": [{"title": "T", "paragraphs": [{"context": "C"}]}]}', r"data\[0\].paragraphs\[0\]"),
        ('{"data": [{"title": "T", "paragraphs": [{"context": "\\ud800", "qas": []}]}]}', "not SQuAD 1.1"),
        ('{"data": [{"title": 7, "paragraphs": []}]}', r"data\[0\]"),
        ('{"data": []}', "no question"),
        ("[" * 100_000, "nested too deeply"),
        (
            '{"data": [{"title": "T", "paragraphs": ['
            '{"context": "C", "qas": [{"id": "i", "question": "Q", "answers": []}]}]}]}',
            "no question with an answer",
        ),
    ],
)
def test_what_is_not_squad_is_refused_with_its_place(tmp_path, content, fact):
    file = tmp_path / "squad.json"
    file.write_text(content)
    with pytest.raises(DataMalformed, match=fact):
        squad([file], per_article=False)


PAIRS = [
    {"Q": "How many?", "A": "4", "type": "computation", "S": None},
    {"Q": "Who?", "A": 'It\'s "Vane"', "type": "comprehension", "S": True},
]


@pytest.mark.parametrize("written", [str, json.dumps, lambda pairs: pairs], ids=["python", "json", "no text"])
def test_loogle_reads_pairs_however_they_are_written(tmp_path, written):
    file = tmp_path / "loogle.jsonl"
    row = {"input": " Text. ", "title": "T", "qa_pairs": written(PAIRS), "output": "none"}
    file.write_text(json.dumps(row) + "\n", encoding="utf-8-sig")
    (case,) = loogle([file])
    assert case.document.text == "Text."
    assert [question.labels["category"] for question in case.questions] == ["computation", "comprehension"]
    assert case.questions[1].references == ('It\'s "Vane"',)


def test_loogles_two_tasks_are_told_apart(tmp_path):
    rows = [{"input": f"Text {n}", "title": "T", "qa_pairs": pairs} for n, pairs in enumerate([PAIRS, [PAIRS[0] | {}]])]
    del rows[1]["qa_pairs"][0]["type"]
    (tmp_path / "loogle.jsonl").write_text("\n".join(map(json.dumps, rows)))
    long, short = loogle([tmp_path / "loogle.jsonl"])
    assert {question.labels["task"] for question in long.questions} == {"LongQA"}
    assert [question.labels for question in short.questions] == [{"task": "ShortQA"}]


def test_a_document_of_loogle_that_nobody_asks_about_is_passed_over(tmp_path, capsys):
    file = tmp_path / "loogle.jsonl"
    rows = [{"input": "t", "title": "t", "qa_pairs": pairs} for pairs in ("[]", "none", None, [], str(PAIRS))]
    file.write_text("\n".join(map(json.dumps, rows)))
    (case,) = loogle([file])
    assert len(case.questions) == 2
    assert "loogle.jsonl: 4 documents without questions" in capsys.readouterr().err
    file.write_text(json.dumps(rows[0]))
    with pytest.raises(DataMalformed, match="no questions"):
        loogle([file])


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"input": "t", "title": "t"}',
        '{"input": "t", "title": "t", "qa_pairs": "some"}',
        '{"input": "t", "title": "t", "qa_pairs": "[{\'Q\': \'q\'}]"}',
        '{"input": " ", "title": "t", "qa_pairs": [{"Q": "q", "A": "a"}]}',
        json.dumps({"input": "t", "title": "t", "qa_pairs": "[" * 10_000}),
        '{"input": "\\udfff", "title": "t", "qa_pairs": [{"Q": "q", "A": "a"}]}',
    ],
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


def test_general_questions_may_stand_among_the_files_and_are_never_a_document(tmp_path):
    (tmp_path / "one.txt").write_text("Text.")
    (tmp_path / "asked.tsv").write_text("What is the capital of France?\tParis\n")
    (case,) = forgetting([tmp_path / "one.txt", tmp_path / "asked.tsv"], None)
    assert [question.text for question in case.questions] == ["What is the capital of France?"]
    with pytest.raises(InvalidOption, match=r"asked\.tsv.*a document as well"):
        forgetting([tmp_path / "asked.tsv"], None)


@pytest.mark.parametrize("named", ["island.txt", "island.tsv", "island.txt island.tsv", "island.tsv island.txt"])
def test_a_document_and_the_questions_beside_it_are_one_case_whichever_is_named(island, named):
    (case,) = own([island.parent / name for name in named.split()])
    assert (case.document.title, len(case.questions)) == ("island", 2)


def test_questions_of_any_name_are_about_the_one_document_that_is_given(island):
    (island.parent / "more.tsv").write_text("How many ferries?\tone\n")
    (case,) = own([island, island.parent / "more.tsv"])
    assert [question.text for question in case.questions] == ["How many ferries?"]
    (case,) = own([island, island.parent / "more.tsv", island.with_suffix(".tsv")])
    assert len(case.questions) == 3
    (island.parent / "mill.txt").write_text("The mill.")
    with pytest.raises(InvalidOption, match=r"more\.tsv"):
        own([island, island.parent / "mill.txt", island.parent / "more.tsv"])
    with pytest.raises(InvalidOption, match=r"more\.txt"):
        own([island.parent / "more.tsv"])


def questions_of_text(folder, text):
    """What is asked by a TSV of this text: questions and keywords."""
    (folder / "asked.txt").write_text("Text.")
    (folder / "asked.tsv").write_bytes(text.encode())
    (case,) = own([folder / "asked.txt"])
    return [(question.text, question.references) for question in case.questions]


@pytest.mark.parametrize(
    "text",
    [
        "Who?\tAda|Holm\n",
        "\ufeffWho?\tAda|Holm",
        "\r\nWho?\tAda|Holm\r\n\r\n",
        "Who?\tAda|Holm\t\t\n",
        "Question\tAnswer\nWho?\tAda|Holm\n",
        "question\tkeywords\t\nWho?\tAda|Holm\n",
    ],
)
def test_questions_are_read_from_tsv_as_programs_write_it(tmp_path, text):
    assert questions_of_text(tmp_path, text) == [("Who?", ("Ada", "Holm"))]


def test_a_third_column_is_passed_over_and_said(tmp_path, capsys):
    found = questions_of_text(tmp_path, "Who?\tAda\tline 3\nWhen?\t1802\n")
    assert found == [("Who?", ("Ada",)), ("When?", ("1802",))]
    assert "asked.tsv: 1 lines have a third column" in capsys.readouterr().err


def test_a_question_may_hold_other_ends_of_lines(tmp_path):
    assert questions_of_text(tmp_path, "Who\u2028and\x0cwhen\x85?\tAda\n") == [("Who\u2028and\x0cwhen\x85?", ("Ada",))]


@pytest.mark.parametrize(("text", "fact"), [("question\tanswer\n", "no question"), ("Who?\tAda\n\n\tAda\n", "line: 3")])
def test_a_tsv_that_asks_nothing_is_refused(tmp_path, text, fact):
    with pytest.raises(DataMalformed, match=fact):
        questions_of_text(tmp_path, text)


def test_a_limit_counts_questions_and_a_seed_orders_documents(normans):
    cases = squad([normans], per_article=False)
    assert [q.id for case in limited(cases, 2) for q in case.questions] == ["a", "b"]
    assert [q.id for case in limited(cases, None) for q in case.questions] == ["a", "b", "c"]
    orders = {tuple(q.id for case in limited(cases, None, seed) for q in case.questions) for seed in range(10)}
    assert orders == {("a", "b", "c"), ("b", "c", "a")}


def test_files_that_ask_about_one_document_make_one_case(normans):
    paragraphs = squad([normans, normans], per_article=False)
    assert [len(case.questions) for case in merged(paragraphs)] == [1, 2]
