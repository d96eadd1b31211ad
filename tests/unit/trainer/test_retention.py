"""What is trained on beside a document's pairs, so that the base model's knowledge stays."""

import pytest
import torch

from lift.template import PromptTemplate
from trainer import retention
from trainer.jobs.examination import general_questions
from trainer.retention import ANSWER_TOKENS, kept_answers, own_answers, unrelated_questions

QUESTIONS = ("Hello?", "What is it?", "Who are you and why?")


def test_the_base_models_own_greedy_answers_are_the_examples(base):
    template = PromptTemplate.for_vocabulary(base.tokenizer.get_vocab())
    examples = own_answers(base, template, QUESTIONS)
    for question, example in zip(QUESTIONS, examples, strict=True):
        prompt = template.question(question)
        assert base.tokenizer.decode(example.tokens[: example.answer_start]) == prompt
        assert 0 < example.answer_tokens <= ANSWER_TOKENS
        with torch.inference_mode():
            logits = base.model(torch.tensor([example.tokens])).logits[0, example.answer_start - 1 : -1].float()
        assert example.tokens[example.answer_start :] == tuple(logits.argmax(-1).tolist())
        assert len(example.likely) == example.answer_tokens
        for likely, row in zip(example.likely, logits, strict=True):
            tokens, chances = zip(*likely, strict=True)
            assert chances == pytest.approx(row[list(tokens)].softmax(0).tolist(), abs=0.02)
            assert sum(chances) == pytest.approx(1)


def test_answers_are_kept_in_a_folder_for_the_next_process(base, tmp_path, monkeypatch):
    template = PromptTemplate.for_vocabulary(base.tokenizer.get_vocab())
    monkeypatch.setattr(retention, "unrelated_questions", lambda: QUESTIONS)
    first = kept_answers(tmp_path / "cache", base, template)
    assert first == own_answers(base, template, QUESTIONS)
    monkeypatch.setattr(retention, "own_answers", lambda *_: pytest.fail("asked again"))
    assert kept_answers(tmp_path / "cache", base, template) == first


def test_a_folder_that_cannot_be_written_or_a_broken_file_costs_time_only(base, tmp_path, monkeypatch):
    template = PromptTemplate.for_vocabulary(base.tokenizer.get_vocab())
    monkeypatch.setattr(retention, "unrelated_questions", lambda: QUESTIONS)
    (tmp_path / "file").touch()
    expected = kept_answers(tmp_path / "file" / "cache", base, template)
    assert len(expected) == len(QUESTIONS)
    kept_answers(tmp_path, base, template)
    next(tmp_path.glob("own-answers-*.json")).write_text("[[")
    assert kept_answers(tmp_path, base, template) == expected


def test_nothing_that_forgetting_is_measured_on_is_trained_on():
    trained_on = {question.lower() for question in unrelated_questions()}
    assert len(trained_on) == len(unrelated_questions()) >= 100
    assert not trained_on & {asked.question.lower() for asked in general_questions()}
