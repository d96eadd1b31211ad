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

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import structlog
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lift.errors import InvalidOption
from lift.kept import file_of, written_whole
from trainer.base_model import BaseModel, adapted_layers
from trainer.batches import Example
from trainer.one_core import one_core
from trainer.padding import padded
from trainer.tile_products import Directions

DIRECTIONS = 256  # of each layer's input at most
SHARE = 0.25  # of its width at most: behind them, directions of SmolLM2-135M have a tenth of the mean energy
MORE = 8  # directions that the randomised decomposition has besides, so that the last ones wanted are good
ROUNDS = 3

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The strongest directions of a layer's input, orthonormal [d, k], and their energies [k], 1 on the mean of d."""

    directions: Tensor
    energies: Tensor

    @classmethod
    def of(cls, inputs: Tensor) -> Self:
        """Of inputs [T, d]."""
        count, width = inputs.shape
        wanted = min(DIRECTIONS, int(SHARE * width), count)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            _, singular, directions = torch.svd_lowrank(inputs, min(wanted + MORE, count, width), niter=ROUNDS)
        mean = inputs.square().sum() / width
        return cls(directions[:, :wanted].contiguous(), singular[:wanted].square() / mean)

    def whitener(self, whitening: float, like: Tensor) -> "Whitener":
        """M of that strength, in fp32 on the device of `like`."""
        gains = (1 + whitening * self.energies).rsqrt()
        width, count = self.directions.shape
        scale = float(((gains.square().sum() + width - count) / width).rsqrt())
        return Whitener(self.directions.to(like.device), (1 - gains).to(like.device), scale)


@dataclass(frozen=True, slots=True)
class Whitener:
    """M of one layer, which computes in the type of its directions. `losses` [k]: 1 less the gains."""

    directions: Tensor
    losses: Tensor
    scale: float
    on_tiles: Directions | None = None

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


Spectra = Mapping[str, Spectrum]
"""The spectrum of each linear layer's input, by the layer's name in the model."""


def spectra(base: BaseModel, examples: Sequence[Example]) -> Spectra:
    """Of what the base model computes on all tokens of the examples; layers with one input share a spectrum."""
    ids, lengths = padded(examples).input_ids, torch.tensor([[len(example.tokens)] for example in examples])
    taken = torch.arange(ids.shape[1]) < lengths
    device = base.model.device
    with torch.inference_mode(), one_core() as on_it, _heard(base.model, taken.to(device), on_it) as found:
        base.model.base_model(input_ids=ids.to(device), use_cache=False)
    return found


@contextmanager
def _heard(model: Any, taken: Tensor, on_it: Executor) -> Iterator[dict[str, Spectrum]]:
    """Fills with the spectra of what this thread has the linear layers compute inside the block.

    Each is made at once by `on_it`, so that no more than one layer's input is held; `taken` [B, L]: the tokens that
    count.
    """
    found: dict[str, Spectrum] = {}
    last: list[tuple[Tensor, Spectrum]] = []
    own_thread = threading.get_ident()

    def listener(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hear(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if threading.get_ident() != own_thread:
                return
            if not (last and last[0][0] is inputs[0]):
                spectrum = on_it.submit(Spectrum.of, inputs[0][taken].float()).result()
                last[:] = [(inputs[0], spectrum)]
            found[name] = last[0][1]

        return hear

    hooks = [layer.register_forward_pre_hook(listener(name)) for name, layer in adapted_layers(model)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True, slots=True)
class KeptSpectra:
    """Spectra, and the file that other processes find them in."""

    spectra: Spectra
    file: Path

    @classmethod
    def read(cls, file: Path) -> Self:
        """What `write` has written. OSError; ValueError: it is no such file."""
        try:
            tensors = load_file(file)
            with safe_open(file, "pt") as opened:
                places = json.loads(opened.metadata()["places"])
            own = [Spectrum(tensors[f"directions.{n}"], tensors[f"energies.{n}"]) for n in range(len(tensors) // 2)]
            return cls({name: own[place] for name, place in places.items()}, file)
        except (SafetensorError, KeyError, TypeError, IndexError) as error:
            raise ValueError(str(file)) from error

    @classmethod
    def write(cls, spectra: Spectra, file: Path) -> Self:
        """Writes all of it or nothing; each spectrum once. OSError."""
        own = {id(spectrum): spectrum for spectrum in spectra.values()}
        place_of = {identity: place for place, identity in enumerate(own)}
        places = {name: place_of[id(spectrum)] for name, spectrum in spectra.items()}
        tensors = {}
        for place, spectrum in enumerate(own.values()):
            tensors[f"directions.{place}"] = spectrum.directions.cpu()
            tensors[f"energies.{place}"] = spectrum.energies.cpu()
        with written_whole(file) as unfinished:
            try:
                save_file(tensors, unfinished, {"places": json.dumps(places)})
            except SafetensorError as error:
                raise OSError(str(error)) from error
        return cls(spectra, file)

    @classmethod
    def of(cls, folder: Path, base: BaseModel, examples: Sequence[Example]) -> Self:
        """The base model's spectra on the examples, out of a file in the folder where they are there already.

        A folder that cannot be written is taken for the system's temporary one.
        """
        made_of = [base.revision, [example.tokens for example in examples], DIRECTIONS, SHARE, MORE, ROUNDS]
        file = file_of(folder, "spectra.safetensors", made_of)
        try:
            return cls.read(file)
        except (OSError, ValueError):
            found = spectra(base, examples)
        log.info("spectra_made", layers=len(found))
        try:
            return cls.write(found, file)
        except OSError as error:
            log.warning("spectra_not_kept", folder=str(folder), error=str(error))
            return cls.write(found, Path(tempfile.mkdtemp()) / file.name)


def whiteners(kept: Callable[[], KeptSpectra] | None, whitening: float, like: Tensor) -> dict[str, Whitener]:
    """M of each linear layer by its name, none for a `whitening` of 0. InvalidOption: there are no spectra."""
    if not whitening:
        return {}
    if kept is None:
        raise InvalidOption(option="whitening", value=whitening, problem="nothing is known of the model's inputs")
    return {name: spectrum.whitener(whitening, like) for name, spectrum in kept().spectra.items()}
