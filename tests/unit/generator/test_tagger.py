"""Which words are verbs, where taggers and rules each have their part."""

import pytest

from generator.english.tagger import LONGEST, Tag, parts_of_speech, tagged_words


def tagged(sentence: str, tag: Tag) -> list[str]:
    """The words with that tag."""
    return [word.text for word in tagged_words(sentence) if word.tag is tag]


@pytest.mark.parametrize(
    ("sentence", "verbs"),
    [
        ("On the ninth day the street lamps of the city went out.", ["went"]),
        ("Tuition at private schools varies with the age of the pupil.", ["varies"]),
        ("Her father repaired clocks, and her mother taught the violin.", ["repaired", "taught"]),
        ("The mayor, Felix Andermatt, sent for oil lamps.", ["sent"]),
        ("It was damaged by a storm and repaired by soldiers.", ["damaged", "repaired"]),
        ("They were given soup.", ["given"]),
        ("The doctor, Samir Oduya, visits on Friday.", ["visits"]),
        ("A vat called Old Bess leaks.", ["leaks"]),
        ("A newspaper called the Evening Wick printed them.", ["printed"]),
        ("Rinse the filter with vinegar.", ["Rinse"]),
        ("The housing is cast from recycled bronze.", ["cast"]),
    ],
)
def test_full_verbs_are_found(sentence, verbs):
    assert tagged(sentence, Tag.VERB) == verbs


def test_a_month_is_no_helper():
    assert tagged("Numbers rose in May.", Tag.HELPER) == []
    assert tagged("They may rise.", Tag.HELPER) == ["may"]


@pytest.mark.parametrize(
    ("sentence", "numbers"),
    [
        ("Twenty-one of ninety-nine came.", ["Twenty-one", "ninety-nine"]),
        ("It was a three-day event on a 12-metre ship.", []),
    ],
)
def test_a_number_inside_a_word_counts_nothing(sentence, numbers):
    assert tagged(sentence, Tag.NUMBER) == numbers


@pytest.mark.parametrize(
    ("sentence", "verbs"),
    [
        ("The owner refused to speak with them.", ["speak"]),
        ("A letter written by a keeper was sold.", ["written"]),
        ("Founded in 1990, the club has forty members.", ["Founded"]),
        ("She wrote a book of 612 pages called The Garden.", ["called"]),
    ],
)
def test_verbs_without_a_subject_are_no_predicates(sentence, verbs):
    assert tagged(sentence, Tag.NONFINITE) == verbs


def test_every_word_has_a_part_of_speech_however_odd_it_is():
    odd = ["", "\U0001f642", "\u65e5\u672c", "a" * 10 * LONGEST, "Whitlock\u2019s", "-", "x\ty"]
    assert len(parts_of_speech(odd)) == len(odd)
    assert parts_of_speech([]) == ()
