"""Questions that rules write by putting the helper before the subject."""

import pytest

from generator.clauses import tagged_words
from generator.cloze import in_place
from generator.inversion import inverted, shortened
from generator.spans import answer_spans


def asked(sentence: str, text: str) -> tuple[str, ...]:
    """Questions about a span."""
    return inverted(sentence, next(span for span in answer_spans(sentence) if span.text == text))


@pytest.mark.parametrize(
    ("sentence", "answer", "question"),
    [
        ("The cellar is cooled by blocks of ice.", "blocks of ice", "What is the cellar cooled by?"),
        (
            "The vault keeps 48,000 jars behind a door.",
            "48,000 jars",
            "How many jars does the vault keep behind a door?",
        ),
        ("The lamp was lit in 1871 by Anna Holm.", "1871", "In what year was the lamp lit by Anna Holm?"),
        ("The lamp was lit in 1871 by Anna Holm.", "Anna Holm", "Who was the lamp lit in 1871 by?"),
        ("In 1987 a flood reached the gallery.", "1987", "In what year did a flood reach the gallery?"),
        ("The ship was built in Oss and arrived by sledge.", "sledge", "What did the ship arrive by?"),
        ("The dam eventually produced light for Oss.", "light", "What did the dam eventually produce for Oss?"),
        ("The dam eventually produced light for Oss.", "The dam", "What eventually produced light for Oss?"),
        ("The tour lasts ninety minutes.", "ninety minutes", "How long does the tour last?"),
        ("The course is 84 kilometres long.", "84 kilometres", "How long is the course?"),
        ("The race was cancelled because bees had come.", "because bees had come", "Why was the race cancelled?"),
        ("He starts the race by ringing a large bell.", "by ringing a large bell", "How does he start the race?"),
        ("The ferry's pilot, Tobias Renn, is young.", "Tobias Renn", "Who is the ferry's pilot?"),
        ("The largest balloon, the Fat Bishop, holds gas.", "the Fat Bishop", "What is the largest balloon?"),
        ("Supplies come with a plough named Gustav.", "Gustav", "What is the name of the plough?"),
        (
            "The winner receives a thimble and a barrel of cider.",
            "a thimble and a barrel of cider",
            "What does the winner receive?",
        ),
        ("Every basket must carry a live hen.", "a live hen", "What must every basket carry?"),
    ],
)
def test_a_sentence_becomes_a_plain_question(sentence, answer, question):
    assert question in asked(sentence, answer)


@pytest.mark.parametrize(
    ("sentence", "answer", "question"),
    [
        ("The lamp was lit in 1871 by Anna Holm.", "Anna Holm", "Who lit the lamp?"),
        ("The lamp was lit in 1871 by Anna Holm.", "Anna Holm", "Who lit the lamp in 1871?"),
        ("The letter was written by Ada Holm.", "Ada Holm", "Who wrote the letter?"),
        ("The gas is supplied by the brewery.", "the brewery", "Who supplies the gas?"),
        ("The cellar is cooled by blocks of ice.", "blocks of ice", "What cools the cellar?"),
        ("The tram is paid for by the mayor.", "the mayor", "Who pays for the tram?"),
    ],
)
def test_a_passive_sentence_is_asked_about_in_the_active_voice(sentence, answer, question):
    assert question in asked(sentence, answer)


@pytest.mark.parametrize(
    "sentence", ["The ship arrived by sledge.", "It was not built by giants.", "He stood by Ada Holm."]
)
def test_what_is_not_passive_has_no_doer(sentence):
    questions = [question for span in answer_spans(sentence) for question in inverted(sentence, span)]
    assert not [question for question in questions if question.startswith(("Who arrived", "Who built", "Who stands"))]


@pytest.mark.parametrize(
    ("sentence", "role"),
    [
        ("The bank was robbed by the botanist Ada Holm.", "the botanist"),
        ("The trick was played when a baker named Ada Holm left.", "a baker"),
        ("The keeper was Ada Holm, a former smith from Oss.", "a former smith from Oss"),
    ],
)
def test_what_a_person_is_can_be_asked_for(sentence, role):
    assert asked(sentence, role) == ("Who was Ada Holm?", "What was Ada Holm's profession?")


def test_how_often_is_asked_for():
    assert "How often is the rope replaced?" in asked(
        "The rope is replaced every eighteen months.", "every eighteen months"
    )


def test_a_long_name_is_said_shortly_a_second_time():
    assert shortened("When was the Brenn Paper Mill built?") == "When was the mill built?"
    assert shortened("When was the Blue Sister built?") == "When was the Blue Sister built?"


def test_nothing_is_asked_where_the_rules_see_no_verb():
    assert asked("A barrel of pear cider for the winner, 1802.", "1802") == ()


def test_a_span_can_be_asked_for_in_its_place():
    sentence = "The door weighs fourteen tonnes."
    span = next(span for span in answer_spans(sentence) if span.text == "fourteen tonnes")
    assert in_place(sentence, span) == "The door weighs how many tonnes?"


@pytest.mark.parametrize(
    "sentence", ["", "?", "is", "Is it?", "and and and", "was were been", "1802 1803 1804", "a, b, and c"]
)
def test_odd_sentences_break_nothing(sentence):
    assert len(tagged_words(sentence)) <= len(sentence)
    assert all(isinstance(inverted(sentence, span), tuple) for span in answer_spans(sentence))
