"""Lets adapters learn in directions that the base model's other inputs hardly use, so that it forgets less.

A change of a linear layer, W + s B A, disturbs what it makes of any input x by s B A x, and inputs have most of their
energy in few directions, which every prompt shares. Of all changes that map one input to a wanted output, the one that
disturbs other inputs with second moment C = E[x xᵀ] least lies along C⁻¹ (ROME: Meng et al., 2022, section 3.1). So the
optimizer does not step A but A', in coordinates in which the strongest directions are short:

    A = A' M        M = m (I + w C_k / c)^-1/2      dA' = dA M

C_k: C in its k strongest directions q_i, of energies e_i (times c, the mean energy of a direction), and zero in the
others; w: `Hyperparameters.whitening`; m keeps the mean square of M's gains at 1. In directions, with gains
g_i = (1 + w e_i)^-1/2:

    A' M = m (A' - ((A' Q) · (1 - g)) Qᵀ)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from lift.errors import InvalidOption
from trainer.learners.spectra import KeptSpectra, Spectrum
from trainer.learners.tile_products import Directions


@dataclass(frozen=True, slots=True)
class Whitener:
    """M of one layer, which computes in the type of its directions. `losses` [k]: 1 less the gains."""

    directions: Tensor
    losses: Tensor
    scale: float
    on_tiles: Directions | None = None

    @classmethod
    def of(cls, spectrum: Spectrum, whitening: float, like: Tensor) -> Self:
        """That of a layer whose inputs have this spectrum, of that strength, in fp32 on the device of `like`."""
        gains = (1 + whitening * spectrum.energies).rsqrt()
        width, count = spectrum.directions.shape
        scale = float(((gains.square().sum() + width - count) / width).rsqrt())
        return cls(spectrum.directions.to(like.device), (1 - gains).to(like.device), scale)

    def __call__(self, a: Tensor) -> Tensor:
        """a [rows, d] → a M, which is also a Mᵀ."""
        return self.over(a.to(self.directions.dtype, copy=True))

    def over(self, a: Tensor) -> Tensor:
        """The same in the memory of `a`, which has the type of the directions."""
        if self.on_tiles:
            return self.on_tiles.taken_from(a, self.scale)
        inner = (a @ self.directions).mul_(self.losses)
        return a.addmm_(inner, self.directions.t(), beta=self.scale, alpha=-self.scale)

    def to(self, dtype: torch.dtype) -> "Whitener":
        """The same in another type, and on tiles where there are some."""
        directions = self.directions.to(dtype)
        return Whitener(directions, self.losses.to(dtype), self.scale, Directions.of(directions, self.losses))

    @property
    def inverse(self) -> "Whitener":
        """a M → a."""
        return Whitener(self.directions, self.losses / (self.losses - 1), 1 / self.scale)


def whiteners(kept: Callable[[], KeptSpectra] | None, whitening: float, like: Tensor) -> dict[str, Whitener]:
    """M of each linear layer by its name, none for a `whitening` of 0. InvalidOption: there are no spectra."""
    if not whitening:
        return {}
    if kept is None:
        raise InvalidOption(option="whitening", value=whitening, problem="nothing is known of the model's inputs")
    return {name: Whitener.of(spectrum, whitening, like) for name, spectrum in kept().spectra.items()}
