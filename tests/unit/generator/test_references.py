"""Opening pronouns are replaced by what they stand for."""

import pytest

from generator.rules.people import People
from generator.rules.references import resolved


def told(*sentences: str) -> list[str]:
    """The sentences of a text with their pronouns resolved."""
    people = People()
    return [resolved(said, sentences[:at], "", people.meant(said)) for at, said in enumerate(sentences)]


@pytest.mark.parametrize(
    ("preceding", "sentence", "expected"),
    [
        (["The Brenn lighthouse stands on Sula."], "It was lit in 1871.", "The Brenn lighthouse was lit in 1871."),
        (["The keeper is Matthias Orrel, a clockmaker."], "He has a dog.", "Matthias Orrel has a dog."),
        (["The keeper is Matthias Orrel."], "His assistant is young.", "Matthias Orrel's assistant is young."),
        (["The ferry sails daily."], "But its captain is old.", "But its captain is old."),
        (["The ferry sails daily."], "Its captain is old.", "The ferry's captain is old."),
        (["The mill is old.", "It burned down."], "It was rebuilt.", "The mill was rebuilt."),
        (["The guards (Latin: custodes) were tall.", "It rained."], "They sang.", "The guards sang."),
        (["The guards were tall.", "They sang."], "Their chief wept.", "The guards' chief wept."),
        (["The mill is old."], "They sang.", "They sang."),
        (["Mila kept the pieces.", "For weeks her parcel lay in a box."], "It was found.", "The parcel was found."),
        (["The cave is old.", "In one corner lay a bear."], "It is deep.", "The cave is deep."),
        (["The cave is old.", "At the end of it Ada Holm lit a lamp."], "They sang.", "They sang."),
        (
            ["The rules, printed in a book that rats ate, were drafted by Ada Holm."],
            "They were altered.",
            "The rules were altered.",
        ),
        (["The mill is old.", "The boats are new."], "It burned down.", "The mill burned down."),
    ],
)
def test_a_pronoun_at_the_start_is_resolved_from_the_sentences_before(preceding, sentence, expected):
    assert told(*preceding, sentence)[-1] == expected


def test_an_instruction_about_it_says_what():
    assert told("The filter is a basket.", "Rinse it with vinegar.")[-1] == "Rinse the filter with vinegar."


def test_the_title_stands_in_where_nothing_precedes():
    assert resolved("It was built in 1748.", [], "the Halvern mill") == "The Halvern mill was built in 1748."


@pytest.mark.parametrize("sentence", ["It was built.", "He left.", "The mill is old.", "", "Italy is warm."])
def test_a_sentence_with_nothing_to_resolve_stays_as_it_is(sentence):
    assert resolved(sentence, []) == sentence


def test_a_place_is_nobodys_name():
    assert told("The keeper Ada Holm lives in Tolmin Ferry.", "She paints.")[-1] == "Ada Holm paints."


LIFE = ("Ada Holm was a smith.", "Her father mended clocks.")


@pytest.mark.parametrize(
    ("between", "sentence", "expected"),
    [
        ((), "As a child she kept a hedgehog.", "As a child, Ada Holm kept a hedgehog."),
        (("Her teacher was Ignatius Feld.",), "She died in May.", "Ada Holm died in May."),
        (("The guide Tavo Lenn saved her life.",), "She gave him a compass.", "Ada Holm gave him a compass."),
        (("Her teacher was Ignatius Feld.",), "He died in May.", "Ignatius Feld died in May."),
        (("Her teacher was Ignatius Feld.", "He drank."), "She was his best pupil.", "Ada Holm was his best pupil."),
        (("Maria Voss founded a school.",), "She taught Latin.", "Maria Voss taught Latin."),
        (("The clerk is Oona Tredwick, and she sings.",), "Her brother is ill.", "Oona Tredwick's brother is ill."),
        (
            ("Back home she wrote a book about mosses.",),
            "It was printed by a butcher.",
            "The book was printed by a butcher.",
        ),
        (("She found an orchid.",), "She named it after her mother.", "Ada Holm named the orchid after her mother."),
        (("She found an orchid.",), "She said it was blue.", "Ada Holm said it was blue."),
        (("The guide was old.",), "She sold it in May.", "Ada Holm sold it in May."),
        (("Holm married a smith, Tom Reed.",), "She cast bells.", "Ada Holm cast bells."),
        (("It was bought by Eva Lind, a smith.",), "She cast bells.", "Eva Lind cast bells."),
        ((), "The guide Tavo Lenn saved her when she fell.", "The guide Tavo Lenn saved her when she fell."),
        ((), "The man who paid said that he was ill.", "The man who paid said that he was ill."),
    ],
)
def test_he_and_she_stay_with_whom_they_were_said_of(between, sentence, expected):
    assert told(*LIFE, *between, sentence)[-1] == expected


def test_a_part_of_a_name_is_nobody_new():
    assert told("Ada Holm was a smith.", "Because of that, Holm was rich.", "She paid.")[-1] == "Ada Holm paid."


@pytest.mark.parametrize(
    "sentence",
    [
        "It takes an hour to fill a tank.",
        "It was agreed that gas should stay cheap.",
        "It was the librarian, Cerys Pugh, who remembered.",
        "It was Ada Holm who paid.",
        "It was not until May that gas came.",
    ],
)
def test_it_may_stand_for_nothing(sentence):
    assert resolved(sentence, ["The gas is cheap."]) == sentence


def test_only_it_may():
    assert told("Ada Holm was a smith.", "She took the ferry.")[-1] == "Ada Holm took the ferry."
    assert told("Ada Holm was a smith.", "She was the cook who left.")[-1] == "Ada Holm was the cook who left."
