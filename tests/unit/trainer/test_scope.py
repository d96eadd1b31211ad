"""Which questions an adapter leaves to the base model."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import normalize

from storage.journal import Pair
from trainer.jobs import scope
from trainer.jobs.material import RAW
from trainer.jobs.scope import LEAST_QUESTIONS, scope_of, scores
from trainer.jobs.training import Training
from trainer.profiles import PROFILES, Hyperparameters
from trainer.vocabulary import Vocabulary

INSIDE = [f"Where does keeper {n} of the lighthouse of Skerrow keep oil?" for n in range(20)]
OUTSIDE = [f"What is the capital of country {n}?" for n in range(40)]


def found_by(base, inside, outside, least):
    found = scores(Vocabulary.of(base, outside), inside, least)
    assert found is not None
    return found


def mean(found, base, question):
    return float(found[base.tokenizer(question, add_special_tokens=False)["input_ids"]].mean())


def trained(questions, kind="grounded"):
    pairs = tuple(Pair(sentence_index=0, question=question, answer="x", kind=kind) for question in questions)
    return Training(pairs=pairs, held_out=(), examples=(), steps=1, losses=(0.0,), data_sha256="0" * 64)


def test_other_questions_of_both_kinds_are_told_apart(base):
    found = found_by(base, INSIDE, OUTSIDE, 0.5)
    assert found.shape == (base.model.config.vocab_size,)
    assert found.dtype == torch.float32
    assert mean(found, base, "How does the lighthouse of Skerrow get oil?") > 0
    assert mean(found, base, "What is the capital of that big country?") < 0


def test_the_least_chance_moves_all_scores_by_its_logit(base):
    one, other = (found_by(base, INSIDE, OUTSIDE, odds / (1 + odds)) for odds in (1e-7, 3e-7))
    torch.testing.assert_close(one - other, torch.full_like(one, 3.0).log(), atol=1e-4, rtol=0)


def test_the_bound_lies_as_low_as_unrelated_questions_allow_that_were_not_seen(base, monkeypatch):
    unlike = [f"{chr(97 + n)}{n * n} of {n}?" for n in range(40)]

    def bound(let_in, least=0.5):
        monkeypatch.setattr(scope, "LET_IN", let_in)
        return -mean(found_by(base, INSIDE, unlike, least), base, unlike[0])

    assert bound(0.5) < bound(0.05) < bound(0.0)  # the more may be let in, the lower
    assert bound(0.5, least=1e-9) < bound(0.5)  # nor is it ever above what was asked for


def test_no_class_counts_for_more_because_it_is_larger(base):
    found, other = found_by(base, INSIDE, OUTSIDE, 0.5), found_by(base, INSIDE, OUTSIDE * 5, 0.5)
    torch.testing.assert_close(found, other, atol=0.3, rtol=0)  # unweighed, five times as many move all by log 5


@pytest.mark.parametrize(
    ("questions", "kind", "chosen"),
    [
        (INSIDE, "grounded", {"scope": 0.0}),
        (INSIDE, "grounded", {"abstained_share": 0.1}),
        (INSIDE[: LEAST_QUESTIONS - 1], "grounded", {}),
        (INSIDE, RAW, {}),
    ],
)
def test_an_adapter_without_a_scope_answers_everything(base, questions, kind, chosen):
    embedded = PROFILES["embedded"]
    vocabulary = Vocabulary.of(base, OUTSIDE)
    assert scope_of(trained(INSIDE), lambda: vocabulary, embedded) is not None
    assert scope_of(trained(questions, kind), lambda: vocabulary, replace(embedded, **chosen)) is None


def test_a_question_of_no_tokens_and_embeddings_that_are_no_numbers_spoil_no_revision(base, monkeypatch):
    embedded = PROFILES["embedded"]
    found = scope_of(trained([*INSIDE, ""]), lambda: Vocabulary.of(base, OUTSIDE), embedded)
    assert found is not None
    assert found.isfinite().all()
    table = base.model.get_input_embeddings()
    broken = table.weight.detach().clone()
    broken[-1] = torch.nan
    monkeypatch.setattr(base.model, "get_input_embeddings", lambda: SimpleNamespace(weight=broken))
    assert scope_of(trained(INSIDE), lambda: Vocabulary.of(base, OUTSIDE), embedded) is None


def test_sums_and_products_are_those_of_the_tokens_unit_vectors(base):
    table = base.model.get_input_embeddings().weight.detach().float()
    units = normalize(table - table.mean(0), dim=1)
    vocabulary, weights, bias = Vocabulary.of(base, OUTSIDE), torch.randn(units.shape[1]), torch.tensor(0.5)
    torch.testing.assert_close(vocabulary.scores(weights, bias), units @ weights + bias, atol=1e-5, rtol=0)
    tokens = [base.tokenizer(question, add_special_tokens=False)["input_ids"] for question in OUTSIDE]
    expected = torch.stack([units[each].mean(0) for each in tokens])
    torch.testing.assert_close(vocabulary.outside, expected, atol=1e-5, rtol=0)
    assert vocabulary.means([""]).tolist() == [[0.0] * units.shape[1]]


def test_the_papers_adapters_answer_everything():
    assert Hyperparameters().scope == 0.0
