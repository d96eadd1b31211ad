"""Sentences: where they stand, that none is lost, and what is shown with them."""

import random
import time
from itertools import pairwise

import pytest

from generator.sentences import (
    MAX_SENTENCE_CHARACTERS,
    SECTION_SENTENCES,
    guess_language,
    passage_of,
    said_at,
    sentence_places,
)


def said(text: str) -> list[str]:
    """The sentences of a text."""
    return [text[place.start : place.end] for place in sentence_places(text)]


def test_sentences_are_found_around_abbreviations_numbers_and_quotes():
    text = "Dr. Ode paid £3.50 at 5 p.m. on Monday. Really? “Yes.” He left."
    assert said(text) == ["Dr. Ode paid £3.50 at 5 p.m. on Monday.", "Really?", "“Yes.”", "He left."]


def test_places_are_counted_in_code_points():
    text = "Émile 😀 ate. 🜂nd then he left."
    assert said(text) == ["Émile 😀 ate.", "🜂nd then he left."]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("我喜欢这座桥。它建于1802年。", ["我喜欢这座桥。", "它建于1802年。"]),
        ("यह पुल है। वह नदी है।", ["यह पुल है।", "वह नदी है।"]),
        ("Die Mühle steht am 3. Mai still. Dr. Maier ging.", ["Die Mühle steht am 3. Mai still.", "Dr. Maier ging."]),
        ("Мост очень старый. Он длинный?", ["Мост очень старый.", "Он длинный?"]),
    ],
)
def test_other_languages_have_their_own_full_stops(text, sentences):
    assert said(text) == sentences


def test_the_language_is_guessed_from_script_and_common_words():
    assert guess_language("Der Hund und die Katze sind nicht mit dem Boot gekommen.") == "de"
    assert guess_language("これはペンです。") == "ja"
    assert guess_language("1802 1803") == "en"


@pytest.mark.parametrize("sentence", ["它建于年。", "他说：“我喜欢这座桥！”", "यह।"])  # noqa: RUF001
def test_a_paragraph_without_white_space_takes_time_by_its_length_alone(sentence):
    began = time.thread_time()
    assert said(sentence * 80_000) == [sentence] * 80_000
    assert time.thread_time() - began < 10


@pytest.mark.parametrize("mark", ["\u201c", "\u2018", "\u00ab", "\u2039", "\u201e", "`", "\u201ca. "])
def test_quotations_that_do_not_end_take_time_by_their_length_alone(mark):
    began = time.thread_time()
    assert said(mark * 200_000 + "x")
    assert time.thread_time() - began < 5


def test_a_long_paragraph_has_the_sentences_that_it_has_in_short_ones():
    quoted = "“Dr. Ode paid £3.50 at 5 p.m. It was " + "very " * 100 + "kind,” she said."
    sentences = [
        "The mill is old.",
        quoted,
        "Is it the oldest of all, e.g. in Europe?",
        "He left at 10.30 a.m. on Monday.",
    ]
    assert [sentence for part in sentences for sentence in said(part)] == said(" ".join(sentences))
    assert said(" ".join(sentences * 100)) == said(" ".join(sentences)) * 100


def test_a_wall_of_another_script_is_cut_anywhere_and_loses_nothing():
    text = "它" * 10_000 + "\u0589" * 10_000 + "它建于年。"
    assert "".join(said(text)).replace("\u0589", "") == text.replace("\u0589", "")


def test_a_wrapped_line_ends_no_sentence():
    assert said("The mill stands\non the river.\nIt is old.") == ["The mill stands\non the river.", "It is old."]


def test_a_wrapped_line_that_begins_with_a_number_is_no_list_item():
    text = "It was opened by the mayor when he was\n84. It has served (since he was\n85) the town for\n112.\nIt is old."
    assert said(text) == [
        "It was opened by the mayor when he was\n84.",
        "It has served (since he was\n85) the town for\n112.",
        "It is old.",
    ]
    places = sentence_places(text)
    assert said_at(text, places[0]) == "It was opened by the mayor when he was 84."
    passage = passage_of(title="", text=text, places=places, at=2, window_characters=30)
    assert passage.window == "he was 85) the town for 112."


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Steps\n1. Wash it\n2. Rinse it\nwell\n4) Dry it", ["Steps", "Wash it", "Rinse it\nwell", "Dry it"]),
        ("The rooms are:\n12. Kitchen\n13. Hall", ["The rooms are:", "Kitchen", "Hall"]),
        ("The wall is old.\n13. The hall is new.", ["The wall is old.", "The hall is new."]),
        ("It has two parts\n\n2. A door", ["It has two parts", "A door"]),
        ("- a lamp of\n12. It is green\n- a door", ["a lamp of\n12.", "It is green", "a door"]),
    ],
)
def test_a_number_begins_an_item_of_a_list(text, sentences):
    assert said(text) == sentences


def test_markdown_headings_are_no_sentences_and_list_items_and_rows_are():
    text = "# The mill\n\nIt is old.\n\nWheels\n------\n- one wheel\n- a second. It turns.\n\n"
    text += "| a | b |\n|---|---|\n| c | d |\n"
    assert said(text) == ["It is old.", "one wheel", "a second.", "It turns.", "a | b |", "c | d |"]


def test_lines_that_are_records_are_sentences_of_their_own():
    assert said("Capital: Oss\nYear it was built: 1802\n**Mayor:** Ada Holm\nof Lind\n") == [
        "Capital: Oss",
        "Year it was built: 1802",
        "**Mayor:** Ada Holm\nof Lind",
    ]


def test_a_colon_in_a_wrapped_line_ends_no_sentence():
    text = "It has three parts: a wall of stone that is\nnew: it was built in 1802, a door\nand a lamp: all green."
    assert said(text) == [text]


@pytest.mark.parametrize("rule", ["--- | ---", ":--|:-: |"])
def test_tables_without_outer_pipes_have_rows_too(rule):
    text = f"They were:\nName | Year\n{rule}\nAda | 1871\nTom|1880\n\nA | B."
    assert said(text) == ["They were:", "Name | Year", "Ada | 1871", "Tom|1880", "A | B."]


def test_a_document_of_headings_alone_is_read_all_the_same():
    assert len(said("# The mill burned down\n## It was rebuilt")) == 2


@pytest.mark.parametrize("text", ["", "   \n\n\t", "---\n\n***\n", "...!?"])
def test_a_text_that_says_nothing_has_no_sentences(text):
    assert said(text) == []


def test_ten_thousand_characters_without_a_full_stop_are_cut_at_words():
    text = "word " * 2000
    pieces = said(text)
    assert max(map(len, pieces)) <= MAX_SENTENCE_CHARACTERS
    assert " ".join(pieces) == text.strip()


def test_a_long_sentence_is_cut_after_a_semicolon_rather_than_a_comma():
    text = "a" * 300 + ", " + "b" * 150 + "; " + "c" * 100 + ", " + "d" * 200 + "."
    assert said(text)[0].endswith(";")


def test_a_wall_of_letters_is_cut_anywhere():
    assert [len(piece) for piece in said("x" * 1500)] == [600, 600, 300]


def test_no_letter_is_lost_or_said_twice_in_random_text():
    choose = random.Random(7)
    parts = [
        "The mill. ",
        "Ä b? ",
        "\n\n",
        "\n",
        "- item ",
        "1. one ",
        "🙂 ",
        "z" * 700,
        ", and; ",
        "| c |\n",
        "「はい。」",
        "> q ",
    ]
    for _ in range(300):
        text = "".join(choose.choices(parts, k=choose.randint(1, 25)))
        places = sentence_places(text)
        assert all(text[place.start : place.end].strip() == text[place.start : place.end] for place in places)
        assert all(a.end <= b.start for a, b in pairwise(places))
        outside = set(range(len(text))) - {at for place in places for at in range(place.start, place.end)}
        lost = "".join(text[at] for at in sorted(outside) if text[at].isalpha())
        assert lost == "", text


def test_the_window_holds_whole_sentences_and_the_heading_before_them():
    text = "# The mill\n\nIt is old. It is on the Teasel. It has a wheel."
    places = sentence_places(text)
    last = passage_of(title="Mill", text=text, places=places, at=2, window_characters=30)
    assert (last.window, last.sentence) == ("It is on the Teasel.", "It has a wheel.")
    assert last.preceding == ("It is on the Teasel.",)
    first = passage_of(title="Mill", text=text, places=places, at=0, window_characters=30)
    assert first.window == "The mill"


def test_a_sentence_that_is_longer_than_the_window_is_cut_at_a_word():
    text = "The very old mill stands on the river Teasel. It turns."
    passage = passage_of(title="", text=text, places=sentence_places(text), at=1, window_characters=16)
    assert passage.window == "river Teasel."


def test_a_window_of_nothing_is_empty():
    text = "One thing. Two things."
    assert passage_of(title="", text=text, places=sentence_places(text), at=1, window_characters=0).window == ""


@pytest.mark.parametrize("count", [1, SECTION_SENTENCES, SECTION_SENTENCES + 1, 2 * SECTION_SENTENCES, 100])
def test_sections_follow_one_another_and_are_equally_long(count):
    said = [f"Number {number} is here." for number in range(count)]
    places = sentence_places(" ".join(said))
    passages = [
        passage_of(title="", text=" ".join(said), places=places, at=at, window_characters=30) for at in range(count)
    ]
    sections = [passage.section for passage in passages if passage.section]
    assert [sentence for section in sections for sentence in section] == said
    assert all(passage.section[-1] == passage.sentence for passage in passages if passage.section)
    lengths = {len(section) for section in sections}
    assert max(lengths) <= SECTION_SENTENCES
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("space", ["\u2028", "\u2029", "\x85", "\xa0", "\u2003", "\u3000"])
def test_no_white_space_is_what_the_splitter_falls_over(space):
    text = f"B{space}.B was here. " + f"A b.{space}" * 5
    places = sentence_places(text)
    letters = "".join(text[place.start : place.end] for place in places)
    assert [c for c in letters if c.isalpha()] == [c for c in text if c.isalpha()]
