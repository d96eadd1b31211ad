"""Leaves out of vLLM's log-probabilities on CPUs what nobody asks for: how many tokens are likelier than the chosen.

Counting reads the log-probability of every token of the vocabulary once more, for each answer in each step.
"""

import torch
from torch import Tensor


def register() -> None:
    """Every token's rank is 0 from here on; repeated calls change nothing."""
    from vllm.v1.sample import sampler

    sampler.batched_count_greater_than = uncounted


def uncounted(logprobs: Tensor, chosen: Tensor) -> Tensor:
    """Zeros [n] in place of the ranks of `chosen` [n, 1] among `logprobs` [n, vocabulary]."""
    return torch.zeros(len(logprobs), dtype=torch.int64, device=chosen.device)
