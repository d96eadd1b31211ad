"""Tokens drawn by one random number, beside the sums of probabilities that define them, and within vLLM's sampler."""

import numpy as np
import pytest
import torch
from vllm.v1.sample.ops.topk_topp_sampler import TopKTopPSampler

from server.engine.cpu import sampling
from server.engine.cpu.sampling import BLOCK, drawn

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("vocabulary", [3, BLOCK, 5 * BLOCK, 5 * BLOCK + 7])
def test_a_token_is_drawn_where_the_sum_of_probabilities_exceeds_the_number(vocabulary):
    torch.manual_seed(vocabulary)
    logits = (3 * torch.randn(1, vocabulary)).expand(500, -1)
    at = torch.linspace(0, 0.999, 500, dtype=torch.float64).unsqueeze(1)
    sums = logits[0].double().softmax(0).cumsum(0).numpy()
    expected = np.searchsorted(sums, at.squeeze(1).numpy(), side="right")
    found = drawn(logits, at).numpy()
    near = np.abs(sums[np.minimum(found, expected)] - at.squeeze(1).numpy()) < 1e-6  # where fp32 may round otherwise
    assert ((found == expected) | near).all()
    assert (found == expected).mean() > 0.99


@pytest.mark.parametrize("at", [0.0, 0.25, 0.5, 1 - 2**-53])
@pytest.mark.parametrize("possible", [[0], [70], [199], [3, 130]])
def test_what_is_impossible_is_never_drawn(at, possible):
    logits = torch.full((1, 200), -torch.inf)
    logits[0, possible] = 1.0
    assert drawn(logits, torch.full((1, 1), at, dtype=torch.float64)).item() in possible


def test_a_row_that_is_no_number_gets_some_token_and_others_theirs():
    logits = torch.randn(3, 100)
    at = torch.full((3, 1), 0.6, dtype=torch.float64)
    whole = drawn(logits, at)
    logits[1] = torch.nan
    spoiled = drawn(logits, at)
    assert 0 <= spoiled[1] < 100
    assert spoiled[0] == whole[0]
    assert spoiled[2] == whole[2]


@pytest.fixture
def sampler(monkeypatch) -> TopKTopPSampler:
    """vLLM's, with ours before it, as in the engine's processes."""
    monkeypatch.setattr(TopKTopPSampler, "forward_cpu", TopKTopPSampler.forward_cpu)
    sampling.register()
    return TopKTopPSampler()


def test_vllms_sampler_draws_as_often_as_the_probabilities_say(sampler):
    torch.manual_seed(1)
    logits = torch.tensor([0.0, 1.0, 2.0, -torch.inf]).repeat(20_000, 1)
    tokens, more = sampler.forward_cpu(logits, {}, None, None)
    assert more is None
    shares = torch.bincount(tokens, minlength=4) / len(tokens)
    torch.testing.assert_close(shares, logits[0].softmax(0), rtol=0, atol=0.015)  # four standard deviations


def test_top_k_and_a_requests_own_seed_are_kept(sampler):
    logits = torch.randn(40, 300)
    likeliest, _ = sampler.forward_cpu(logits.clone(), {}, torch.ones(40, dtype=torch.int64), None)
    assert torch.equal(likeliest, logits.argmax(1))

    def seeded() -> int:
        tokens, _ = sampler.forward_cpu(torch.zeros(3, 300), {1: torch.Generator().manual_seed(7)}, None, None)
        return int(tokens[1])

    assert seeded() == seeded()


def test_whoever_wants_processed_logits_gets_vllms_sampler(sampler):
    sampler.logprobs_mode = "processed_logits"
    tokens, logits = sampler.forward_cpu(torch.tensor([[0.0, 50.0]]), {}, None, None)
    assert tokens.tolist() == [1]
    assert logits is not None
