"""Comparing questions and answers."""

import pytest

from generator import matching
from generator.english.numbers import in_digits


@pytest.mark.parametrize(
    ("words", "digits"),
    [
        ("fourteen tonnes", "14 tonnes"),
        ("three hundred jars", "300 jars"),
        ("eleven thousand two hundred five", "11205"),
        ("two million and one", "2000000 and 1"),
        ("no number", "no number"),
        ("hundred", "hundred"),
        ("", ""),
    ],
)
def test_numbers_in_words_become_digits(words, digits):
    assert in_digits(words.split()) == digits.split()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("48,000", "48,000 jars"),
        ("14 tonnes", "fourteen tonnes"),
        ("twenty two years", "twenty-two years"),
        ("The Blue Sister.", "Blue Sister"),
        ("Ingrid Solvane", "the botanist Ingrid Solvane"),
        ("because it is icy there", "because the tunnel is icy there"),
    ],
)
def test_an_answer_in_other_clothes_is_the_same(given, wanted):
    assert matching.same_answer(given, wanted)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("", "1802"),
        ("1803", "1802"),
        ("the village", "Tolmin Ferry"),
        ("the machine was built long ago in the old town of Rotterdam", "Rotterdam"),
        ("fourteen", "forty"),
    ],
)
def test_a_different_answer_is_not(given, wanted):
    assert not matching.same_answer(given, wanted)


def test_a_question_that_holds_its_answer_gives_it_away():
    assert matching.gives_away("Who is Ada Holm?", "Ada Holm")
    assert matching.gives_away("Is the door fourteen tonnes?", "14 tonnes")
    assert not matching.gives_away("How many jars are kept?", "48,000 jars")
    assert not matching.gives_away("Who keeps the vault?", "Ada Holm")


def test_a_question_speaks_of_its_source_alone():
    source = "The guided tour of the vault at Isk costs twelve crowns."
    assert matching.grounded("How much does a tour of the vault cost?", source)
    assert not matching.grounded("How much does a tour of the Louvre cost?", source)
    assert not matching.grounded("What did 40 visitors of the vault pay?", source)
    assert not matching.grounded("Why do dragons guard golden eggs?", source)


def test_a_question_that_needs_a_name_leans_on_a_pronoun():
    assert matching.leans_on_pronoun("When was his mill built?")
    assert matching.leans_on_pronoun("What did Anna Holm give her?")
    assert matching.leans_on_pronoun("When did the Royal Society give her its medal?")
    assert matching.leans_on_pronoun("When did its owner sell the mill?")
    assert not matching.leans_on_pronoun("How long does it take to fill the hall?")
    assert not matching.leans_on_pronoun("When did the orchestra give its first concert?")
    assert not matching.leans_on_pronoun("Where did Anna Holm sell her boat?")
    assert not matching.leans_on_pronoun("")


def test_two_questions_that_differ_by_hardly_a_word_are_duplicates():
    assert matching.near_duplicate("When was the mill built?", ["When was a mill built?"])
    assert not matching.near_duplicate("When was the mill built?", ["Who built the mill?"])
