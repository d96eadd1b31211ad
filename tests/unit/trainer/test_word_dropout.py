"""Questions lose words, and nothing else does."""

import pytest

from lift.template import TEMPLATES, PromptTemplate
from trainer.examples.batches import Encoder
from trainer.examples.word_dropout import SHORTEST, WHOLE, WordDropout

QUESTION = "In what year was the old lighthouse on the island of Sula lit?"


@pytest.fixture
def asked(encoder):
    return encoder.encode(QUESTION, "in 1871")


def test_only_tokens_of_the_question_are_left_out_and_their_order_stays(encoder, asked):
    before, behind = encoder.frame
    end = asked.answer_start - behind
    for thinned in WordDropout(encoder, 0.3, seed=1).of([asked] * 50):
        assert thinned.tokens[thinned.answer_start :] == asked.tokens[asked.answer_start :]
        assert thinned.tokens[:before] == asked.tokens[:before]
        assert thinned.tokens[thinned.answer_start - behind :] == asked.tokens[end:]
        rest = iter(asked.tokens[before:end])
        assert all(token in rest for token in thinned.tokens[before : thinned.answer_start - behind])


def test_a_set_share_is_left_out_of_those_that_do_not_stay_whole(encoder, asked):
    question = asked.answer_start - sum(encoder.frame)
    thinned = WordDropout(encoder, 0.25, seed=2).of([asked] * 400)
    whole = [example for example in thinned if example == asked]
    assert len(whole) / 400 == pytest.approx(WHOLE, abs=0.08)
    lost = [asked.answer_start - example.answer_start for example in thinned if example != asked]
    assert sum(lost) / len(lost) / question == pytest.approx(0.25, abs=0.04)
    assert thinned == WordDropout(encoder, 0.25, seed=2).of([asked] * 400)
    assert thinned != WordDropout(encoder, 0.25, seed=3).of([asked] * 400)


def test_a_question_never_becomes_shorter_than_its_last_words(encoder):
    short, frame = encoder.encode("Why?", "rain"), sum(encoder.frame)
    for thinned in WordDropout(encoder, 0.9, seed=1).of([short, encoder.encode(QUESTION, "1871")] * 40):
        assert thinned.answer_start - frame >= SHORTEST


def test_text_without_a_question_and_a_share_of_none_stay_as_they_are(encoder, asked):
    text = encoder.text("The lighthouse on Sula was lit in 1871.")
    assert WordDropout(encoder, 0.5, seed=1).of([text] * 20) == [text] * 20
    assert WordDropout(encoder, 0.0, seed=1).of([asked]) == [asked]


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_frame_is_what_stands_around_every_question(base, name):
    encoder = Encoder(base.tokenizer, PromptTemplate.named(name), 512)
    before, behind = encoder.frame
    prompts = [encoder.prompt(question) for question in (QUESTION, "Why?", "a b c")]
    assert len({prompt[:before] for prompt in prompts}) == 1
    assert len({prompt[len(prompt) - behind :] for prompt in prompts}) == 1
    assert base.tokenizer.decode(prompts[0][before : len(prompts[0]) - behind]).strip() == QUESTION
