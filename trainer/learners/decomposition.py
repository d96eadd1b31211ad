"""Approximates trained LoRA weights by ones of a smaller rank.

The change of a linear layer is s B A, s = alpha / rank. The best approximation of B A at a smaller rank is what its
largest singular values and their vectors make (Eckart and Young, 1936). B A itself [d_out, d_in] is never made:

    B = Q_B R_B,  Aᵀ = Q_A R_A              Q_B [d_out, r], Q_A [d_in, r], R_B and R_A [r, r]
    R_B R_Aᵀ = U S Vᵀ                       so that B A = (Q_B U) S (Q_A V)ᵀ
    B' = Q_B U √S,  A' = √S Vᵀ Q_Aᵀ         the first columns of B' and rows of A' are kept

The scaling s stays what it was: whoever writes the weights down gives them alpha = s · rank.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lift.errors import InvalidOption
from storage.tensor_names import a_of, b_of, is_a, layer_of
from trainer.learners.one_core import one_core


def shrunk(weights: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """The nearest weights of that rank, for the same scaling. InvalidOption: it is above the rank that they have."""
    if not 1 <= rank <= rank_of(weights):
        raise InvalidOption(option="rank", value=rank, expected=f"from 1 to {rank_of(weights)}")
    return at_rank(decomposed(weights), rank)


def rank_of(weights: Mapping[str, Tensor]) -> int:
    """The rank of weights under PEFT's names: the rows of each A."""
    return next(len(weight) for name, weight in weights.items() if is_a(name))


@dataclass(frozen=True, slots=True)
class Components:
    """One linear layer's B A = `left` `right`, in fp32, components by falling singular value.

    left [d_out, n], right [n, d_in]; n is the rank, or the layer's narrower side where that is less.
    """

    left: Tensor
    right: Tensor
    dtype: torch.dtype

    @classmethod
    def of(cls, a: Tensor, b: Tensor) -> "Components":
        """From A [r, d_in] and B [d_out, r]."""
        q_b, r_b = torch.linalg.qr(b.float())
        q_a, r_a = torch.linalg.qr(a.float().t())
        u, s, v_t = torch.linalg.svd(r_b @ r_a.t(), full_matrices=False)
        root = s.sqrt()
        return cls(q_b @ (u * root), (root.unsqueeze(1) * v_t) @ q_a.t(), a.dtype)

    def at_rank(self, rank: int, width: int) -> tuple[Tensor, Tensor]:
        """A [width, d_in] and B [d_out, width] of the first `rank` components; what is behind them is zero."""
        left, right = self.left[:, :rank], self.right[:rank]
        more = width - len(right)
        a, b = nn.functional.pad(right, (0, 0, 0, more)), nn.functional.pad(left, (0, more))
        return a.to(self.dtype), b.to(self.dtype)


def decomposed(weights: Mapping[str, Tensor]) -> dict[str, Components]:
    """The components of each linear layer, by its name; `weights` have PEFT's names."""
    layers = [layer_of(name) for name in weights if is_a(name)]
    with one_core() as on_it:
        done = on_it.map(lambda layer: Components.of(weights[a_of(layer)], weights[b_of(layer)]), layers)
        return dict(zip(layers, done, strict=True))


def at_rank(components: Mapping[str, Components], rank: int, *, padded_to: int = 0) -> dict[str, Tensor]:
    """The weights of that rank under PEFT's names; with zeros up to the rank `padded_to` where that is larger."""
    weights = {}
    for layer, parts in components.items():
        weights[a_of(layer)], weights[b_of(layer)] = parts.at_rank(rank, max(rank, padded_to))
    return weights
