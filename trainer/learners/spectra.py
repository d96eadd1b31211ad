"""Finds the directions in which the base model's inputs have most of their energy, for `whitening`."""

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import structlog
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lift.kept import file_of, remembered
from trainer.base_model import BaseModel, adapted_layers
from trainer.examples.batches import Example
from trainer.learners.one_core import one_core
from trainer.learners.padding import padded

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


Spectra = Mapping[str, Spectrum]
"""The spectrum of each linear layer's input, by the layer's name in the model."""


def spectra(base: BaseModel, examples: Sequence[Example]) -> Spectra:
    """Of what the base model computes on all tokens of the examples; layers with one input share a spectrum."""
    ids, lengths = padded(examples).input_ids, torch.tensor([[len(example.tokens)] for example in examples])
    taken = torch.arange(ids.shape[1]) < lengths
    device = base.model.device
    with torch.inference_mode(), one_core() as on_it, _heard(base.model, taken.to(device), on_it) as found:
        base.model.base_model(input_ids=ids.to(device), use_cache=False)
    log.info("spectra_made", layers=len(found))
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
        """What `of` has written. OSError; ValueError: it is no such file."""
        return cls(_read(file), file)

    @classmethod
    def of(cls, folder: Path, base: BaseModel, examples: Sequence[Example]) -> Self:
        """The base model's spectra on the examples, out of a file in the folder where they are there already.

        A folder that cannot be written is taken for the system's temporary one.
        """
        made_of = [base.revision, [example.tokens for example in examples], DIRECTIONS, SHARE, MORE, ROUNDS]
        file = file_of(folder, "spectra.safetensors", made_of)
        found, kept = remembered(file, _read, partial(spectra, base, examples), _write)
        if not kept:
            file = Path(tempfile.mkdtemp()) / file.name
            _write(found, file)
        return cls(found, file)


def _read(file: Path) -> Spectra:
    try:
        tensors = load_file(file)
        with safe_open(file, "pt") as opened:
            places = json.loads(opened.metadata()["places"])
        own = [Spectrum(tensors[f"directions.{n}"], tensors[f"energies.{n}"]) for n in range(len(tensors) // 2)]
        return {name: own[place] for name, place in places.items()}
    except (SafetensorError, KeyError, TypeError, IndexError) as error:
        raise ValueError(str(file)) from error


def _write(spectra: Spectra, file: Path) -> None:
    """Each spectrum once. OSError."""
    own = {id(spectrum): spectrum for spectrum in spectra.values()}
    place_of = {identity: place for place, identity in enumerate(own)}
    places = {name: place_of[id(spectrum)] for name, spectrum in spectra.items()}
    tensors = {}
    for place, spectrum in enumerate(own.values()):
        tensors[f"directions.{place}"] = spectrum.directions.cpu()
        tensors[f"energies.{place}"] = spectrum.energies.cpu()
    try:
        save_file(tensors, file, {"places": json.dumps(places)})
    except SafetensorError as error:
        raise OSError(str(error)) from error
