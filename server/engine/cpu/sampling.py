"""Makes vLLM's choice of tokens on CPUs cheaper: what is drawn at random, and what nobody asks for.

vLLM draws a random number for every token of the vocabulary and takes two logarithms of it, for each answer in each
step. One number is enough. And it counts how many tokens are likelier than the chosen one, which nobody reads.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import pad

BLOCK = 64  # tokens whose probabilities are summed before one of them is looked for
CUT_LOGITS = "raw_logprobs", "raw_logits"
"""Modes of vLLM's in which nobody wants the logits as top-k and top-p leave them."""

Forward: TypeAlias = Callable[..., tuple[Tensor, Tensor | None]]


def register() -> None:
    """Every token's rank is 0 from here on, and tokens are drawn by `drawn`; repeated calls change nothing."""
    from vllm.v1.sample import sampler
    from vllm.v1.sample.ops.topk_topp_sampler import TopKTopPSampler

    sampler.batched_count_greater_than = uncounted
    if not hasattr(TopKTopPSampler.forward_cpu, "__wrapped__"):
        TopKTopPSampler.forward_cpu = _forward(TopKTopPSampler.forward_cpu)


def uncounted(logprobs: Tensor, chosen: Tensor) -> Tensor:
    """Zeros [n] in place of the ranks of `chosen` [n, 1] among `logprobs` [n, vocabulary]."""
    return torch.zeros(len(logprobs), dtype=torch.int64, device=chosen.device)


def drawn(logits: Tensor, at: Tensor) -> Tensor:
    """The token [n] at which the sum of the probabilities before it and its own exceeds `at`; logits [n, vocabulary].

    `at` [n, 1], fp64, at least 0 and less than 1. First the block is found, then the token in it. A row with NaN gets
    some token.
    """
    chances = logits.softmax(dim=-1, dtype=torch.float32)
    if left := -logits.shape[1] % BLOCK:  # `pad` copies, also where there is nothing to add
        chances = pad(chances, (0, left))
    blocks = chances.unflatten(1, (-1, BLOCK))
    sums = blocks.sum(dim=2).cumsum(dim=1, dtype=torch.float64)
    block, rest = _first_above(sums, at * sums[:, -1:])
    within = blocks.gather(1, block.unsqueeze(2).expand(-1, -1, BLOCK)).squeeze(1).cumsum(dim=1, dtype=torch.float64)
    token, _ = _first_above(within, rest)
    return (block * BLOCK + token).squeeze(1).clamp(max=logits.shape[1] - 1)


def _first_above(sums: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """The first place whose sum is more than `at`, and what `at` is more than the sum before it. All are [n, ...]."""
    below_all = torch.nextafter(sums[:, -1:], torch.zeros_like(at))  # the last sum itself would be behind all
    at = at.minimum(below_all)
    place = torch.searchsorted(sums, at, right=True).clamp(max=sums.shape[1] - 1)
    before = pad(sums, (1, 0)).gather(1, place)
    return place, at - before


def _forward(vllms: Forward) -> Forward:
    """vLLM's sampler behind ours."""
    from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p

    @wraps(vllms)
    def forward(
        sampler: Any, logits: Tensor, generators: dict[int, torch.Generator], k: Tensor | None, p: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        if sampler.use_fp64_gumbel or sampler.logprobs_mode not in CUT_LOGITS:
            return vllms(sampler, logits, generators, k, p)
        at = torch.rand(len(logits), 1, dtype=torch.float64)
        for row, generator in generators.items():
            at[row] = torch.rand(1, dtype=torch.float64, generator=generator)
        return drawn(apply_top_k_top_p(logits, k, p), at), None

    return forward
