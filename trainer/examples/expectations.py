"""Lays out what the loss expects at each answer token, and computes that loss.

Of answer token t with chances q over tokens v, and p the model's: loss_t = Σ_v q(v) · (log q(v) - log p(v)), the
KL divergence. Where the token itself is expected, q is 1 there, and this is -log p(token) (LIFT eq. 1).
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from trainer.examples.batches import Example, Likely

LIKELY_TOKENS = 20  # they hold nearly all of a model's chances; what is left is spread over them


def expectations(examples: Iterable[Example]) -> tuple[Tensor, Tensor]:
    """Tokens and their chances at each answer token of the examples in turn, [T_a, K] each; fewer have chances of 0."""
    likely = [each for example in examples for each in example.expected]
    width = max(map(len, likely))
    filled = [(*each, *(((0, 0.0),) * (width - len(each)))) for each in likely]
    return (
        torch.tensor([[token for token, _ in each] for each in filled]),
        torch.tensor([[chance for _, chance in each] for each in filled]),
    )


def losses(logits: Tensor, targets: Tensor, chances: Tensor) -> Tensor:
    """logits [T_a, V], targets, chances [T_a, K] → the loss of each answer token, fp32 [T_a], in nats."""
    wide = logits.float()
    expected = wide.gather(1, targets) - torch.logsumexp(wide, -1, keepdim=True)
    return (torch.xlogy(chances, chances) - chances * expected).sum(-1)


def likeliest(logits: Tensor) -> list[Likely]:
    """What a model with these logits [T, V] expects: the likeliest tokens, with chances that add up to 1."""
    best = logits.float().topk(min(LIKELY_TOKENS, logits.shape[-1]), -1)
    rows = zip(best.indices.tolist(), best.values.softmax(-1).tolist(), strict=True)
    return [tuple(zip(tokens, chances, strict=True)) for tokens, chances in rows]
