"""What the base model says with the passage before it, as what a pair is expected to be answered with."""

import pytest
import torch

from trainer.jobs import teacher
from trainer.jobs.teacher import Teacher, passage
from trainer.learners.peft_learner import PeftLearner
from trainer.profiles import Hyperparameters

PASSAGE = "The bridge of Oss was built in 1802."
ASKED = [(0, "When?", "1802"), (0, "What was built?", "The bridge"), (0, "Where is it?", "Oss")]


@pytest.fixture
def asked(encoder):
    return [(index, question, encoder.encode(question, answer)) for index, question, answer in ASKED]


def taught(base, encoder, asked, share):
    return list(Teacher(base, encoder, lambda _: PASSAGE, share).taught(asked))


def test_the_base_models_chances_with_the_passage_are_expected(base, encoder, asked):
    for (_, question, example), learned in zip(asked, taught(base, encoder, asked, 1.0), strict=True):
        prompt, answer = encoder.prompt(f"{PASSAGE}\n\n{question}"), example.tokens[example.answer_start :]
        with torch.inference_mode():
            logits = base.model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1].float()
        assert (learned.tokens, len(learned.likely)) == (example.tokens, len(answer))
        for likely, row, token in zip(learned.likely, logits, answer, strict=True):
            chances = dict(likely)
            assert max(chances, key=chances.get) == int(row.argmax())
            assert sum(chances.values()) == pytest.approx(1)
            assert chances.get(token, 0) <= row.softmax(0)[token] * 1.5 + 0.02


def test_a_share_of_what_is_expected_stays_the_pairs_own(base, encoder, asked):
    whole, half = taught(base, encoder, asked, 1.0), taught(base, encoder, asked, 0.5)
    for all_of_it, some in zip(whole, half, strict=True):
        answer = all_of_it.tokens[all_of_it.answer_start :]
        for token, teachers, mixed in zip(answer, all_of_it.likely, some.likely, strict=True):
            assert dict(mixed)[token] == pytest.approx(0.5 + 0.5 * dict(teachers).get(token, 0.0))
            assert sum(dict(mixed).values()) == pytest.approx(1)


def test_parts_and_an_adapter_in_training_change_nothing(base, encoder, asked, monkeypatch):
    alone = taught(base, encoder, asked, 1.0)
    monkeypatch.setattr(teacher, "TOKENS_AT_ONCE", 1)
    with PeftLearner(base.model).adapter(Hyperparameters(rank=8, alpha=16, learning_rate=0.05)) as adapter:
        before = adapter.step([example for _, _, example in asked])
        for expected, found in zip(alone, taught(base, encoder, asked, 1.0), strict=True):
            for one, other in zip(expected.likely, found.likely, strict=True):
                likeliest = max(one, key=lambda each: each[1])
                assert dict(other)[likeliest[0]] == pytest.approx(likeliest[1], abs=0.05)
        assert adapter.step([example for _, _, example in asked]) < before


def test_a_passage_is_the_sentence_and_whole_words_before_it():
    text = "word " * 300 + "The end."
    start = len(text) - len("The end.")
    assert passage(text, start, len(text)).endswith("word The end.")
    assert passage(text, start, len(text)).startswith("word word")
    assert len(passage(text, start, len(text))) <= teacher.WINDOW_CHARACTERS + len("The end.")
    assert passage("One. Two.", 5, 9) == "One. Two."
    assert passage("字" * 900, 890, 900) == "字" * (teacher.WINDOW_CHARACTERS + 10)  # no white space to cut at
