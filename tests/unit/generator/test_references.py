"""Opening pronouns are replaced by what they stand for."""

import pytest

from generator.references import resolved


@pytest.mark.parametrize(
    ("preceding", "sentence", "expected"),
    [
        (["The Brenn lighthouse stands on Sula."], "It was lit in 1871.", "The Brenn lighthouse was lit in 1871."),
        (["The keeper is Matthias Orrel, a clockmaker."], "He has a dog.", "Matthias Orrel has a dog."),
        (["The keeper is Matthias Orrel."], "His assistant is young.", "Matthias Orrel's assistant is young."),
        (["The ferry sails daily."], "But its captain is old.", "But its captain is old."),
        (["The ferry sails daily."], "Its captain is old.", "The ferry's captain is old."),
        (["The mill is old.", "It burned down."], "It was rebuilt.", "The mill was rebuilt."),
    ],
)
def test_a_pronoun_at_the_start_is_resolved_from_the_sentences_before(preceding, sentence, expected):
    assert resolved(sentence, preceding) == expected


def test_the_title_stands_in_where_nothing_precedes():
    assert resolved("It was built in 1748.", [], "the Halvern mill") == "The Halvern mill was built in 1748."


@pytest.mark.parametrize("sentence", ["It was built.", "He left.", "The mill is old.", "", "Italy is warm."])
def test_a_sentence_with_nothing_to_resolve_stays_as_it_is(sentence):
    assert resolved(sentence, []) == sentence


def test_a_place_is_nobodys_name():
    preceding = ["The keeper Ada Holm lives in Tolmin Ferry."]
    assert resolved("She paints.", preceding) == "Ada Holm paints."


def test_it_takes_an_hour_is_about_nothing():
    assert resolved("It takes an hour to fill a tank.", ["The gas is cheap."]) == "It takes an hour to fill a tank."
