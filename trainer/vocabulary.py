"""Turns a base model's token embeddings into what a scope is found from: unit vectors from the vocabulary's centre.

What takes a pass over all of the vocabulary is found out once; the unit vectors u_t = (e_t - c) / |e_t - c| themselves
are never held, since of all that is wanted of them, sums and products, the same is said of the embeddings e_t.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from trainer.base_model import BaseModel

ROWS_AT_ONCE = 1 << 14
SHORTEST = 1e-12  # what `torch.nn.functional.normalize` divides by at least


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Centre [d] of the embeddings, their inverse distances from it [V], and the unrelated questions' means [n, d]."""

    base: BaseModel
    centre: Tensor
    inverse_lengths: Tensor
    outside: Tensor

    @classmethod
    def of(cls, base: BaseModel, unrelated: Sequence[str]) -> Self:
        """All in fp32 on the device of the embeddings."""
        table = _embeddings(base)
        centre = table.mean(0, dtype=torch.float32)
        lengths = [(rows.float() - centre).norm(dim=1) for rows in table.split(ROWS_AT_ONCE)]
        inverse = torch.cat(lengths).clamp_(min=SHORTEST).reciprocal_()
        return cls(base, centre, inverse, _means(base, centre, inverse, unrelated))

    @property
    def is_finite(self) -> bool:
        """Whether all embeddings are numbers, which some that a model does not use are not."""
        return bool(self.centre.isfinite().all())

    def means(self, questions: Sequence[str]) -> Tensor:
        """The mean of the unit vectors of each question's tokens [n, d], 0 where there are none."""
        return _means(self.base, self.centre, self.inverse_lengths, questions)

    def scores(self, weights: Tensor, bias: Tensor) -> Tensor:
        """u_t · w + b of each token [V], for weights [d] and a bias."""
        products = torch.cat([rows.float() @ weights for rows in _embeddings(self.base).split(ROWS_AT_ONCE)])
        return (products - self.centre @ weights) * self.inverse_lengths + bias


def _embeddings(base: BaseModel) -> Tensor:
    table: Tensor = base.model.get_input_embeddings().weight
    return table.detach()


def _means(base: BaseModel, centre: Tensor, inverse_lengths: Tensor, questions: Sequence[str]) -> Tensor:
    table = _embeddings(base)

    def mean_of(question: str) -> Tensor:
        tokens = base.tokenizer(question, add_special_tokens=False)["input_ids"]
        inverse = inverse_lengths[tokens]
        return (inverse @ table[tokens].float() - centre * inverse.sum()) / max(1, len(tokens))

    return torch.stack([mean_of(question) for question in questions])
