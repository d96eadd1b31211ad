"""Words that a document says all the time."""

from generator.familiar import familiar_words, stems_of
from generator.generation import Reading, SourceText

SENTENCES = [
    "The players of the orchestra met in 1951.",
    "In 1951 the orchestra rented a shed.",
    "The orchestra is 60 years old.",
    "Its players own 1951 stamps.",
]


def test_words_of_three_sentences_are_familiar_and_numbers_never() -> None:
    assert familiar_words(SENTENCES) == {"orchestra"}
    assert familiar_words([*SENTENCES, "A player left."]) == {"orchestra", "player"}
    assert familiar_words(SENTENCES[:2]) == frozenset()


def test_a_long_document_says_a_word_more_often_before_it_is_familiar() -> None:
    others = [f"Word{number} is said." for number in range(100)]
    assert "orchestra" not in familiar_words([*SENTENCES, *others])


def test_stems_are_of_words_that_say_something() -> None:
    assert stems_of("the players of it") == {"player"}


def test_a_passage_knows_what_its_own_document_says_all_the_time() -> None:
    reading = Reading(
        [SourceText(title="Orchestra", text=" ".join(SENTENCES)), SourceText(title="Mill", text="A mill turned.")], 600
    )
    assert reading.passage(0).familiar == {"orchestra"}
    assert reading.passage(len(SENTENCES)).familiar == frozenset()
