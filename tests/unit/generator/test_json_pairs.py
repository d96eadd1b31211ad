"""Pairs out of a reply that is still being written."""

import json
import random

import pytest

from generator.json_pairs import PairReader

PAIRS = [("Who built it?", "Ada"), ('What is "it"?', "a {mill}"), ("When?", "1802")]
REPLY = json.dumps({"qa_list": [{"question": question, "answer": answer} for question, answer in PAIRS]})


def read(*pieces: str) -> list[tuple[str, str]]:
    """All pairs of a reply that comes in pieces."""
    reader = PairReader()
    return [pair for piece in pieces for pair in reader.feed(piece)]


def test_a_pair_is_read_the_moment_its_last_brace_comes():
    reader = PairReader()
    assert list(reader.feed('{"qa_list": [{"question": "Who?", "answer": "Ada"')) == []
    assert list(reader.feed("}")) == [("Who?", "Ada")]


def test_the_pieces_of_a_reply_may_be_cut_anywhere():
    choose = random.Random(3)
    for _ in range(50):
        cuts = sorted(choose.sample(range(len(REPLY)), 6))
        pieces = [REPLY[start:end] for start, end in zip([0, *cuts], [*cuts, len(REPLY)], strict=True)]
        assert read(*pieces) == PAIRS


@pytest.mark.parametrize("kept", range(0, len(REPLY), 7))
def test_a_truncated_reply_gives_the_pairs_that_are_whole(kept):
    pairs = read(REPLY[:kept])
    assert pairs == PAIRS[: len(pairs)]


@pytest.mark.parametrize(
    ("reply", "pairs"),
    [
        ('Sure! ```json\n[{"question": "Who?", "answer": "Ada",}]\n```', [("Who?", "Ada")]),
        ('{"question": "How many?", "answer": 12}', [("How many?", "12")]),
        ('{"question": "Two\nlines?", "answer": "Yes\nyes"}', [("Two lines?", "Yes\nyes")]),
        (
            '{"question": "", "answer": "Ada"} {"question": "Who?"} {"answer": "x"} {"question": "Who?", "answer": []}',
            [],
        ),
        ("no JSON at all } } {", []),
        (
            '{"question": "Which face?", "answer": "\\ud83d"} {"question": "\\ude00?", "answer": "A"} '
            '{"question": "Which face?", "answer": "\\ud83d\\ude00"}',
            [("Which face?", "\U0001f600")],
        ),
        (
            '{"question": "How many?", "answer": ' + "1" * 5000 + '} {"question": "Who?", "answer": "Ada"}',
            [("Who?", "Ada")],
        ),
        (
            '[{"question": "How wide is the 6" pipe?", "answer": "1"}, {"question": "Who?", "answer": "Ada"}, '
            '{\n  "question": "When?", "answer": "in "02"}, {"question": "Where?", "answer": "Oss"}]',
            [("Who?", "Ada"), ("Where?", "Oss")],
        ),
        ('{"question": "What is {\\"question\\"}?", "answer": "a key"}', [('What is {"question"}?', "a key")]),
        ('{"q" {"question": "Who?", "answer": "Ada"}', [("Who?", "Ada")]),
        ('{"question": "' + "x" * 20_000 + '{"question": "Who?", "answer": "Ada"}', [("Who?", "Ada")]),
    ],
)
def test_what_is_around_and_between_pairs_does_no_harm(reply, pairs):
    found = read(reply)
    assert found == pairs
