"""LoRA weights that an adapter begins with in place of zeros, so that it learns a document sooner and is found by more.

A primer is taught on many lessons (`priming`): where an adapter begins at it, a few steps on a document's pairs are
enough for the questions that people ask. It is a revision's three files, of the base model and no other.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from safetensors.torch import load_file
from torch import Tensor

from lift.errors import PrimerRejected, RevisionRejected
from storage.base_model import identify
from storage.files import MANIFEST, WEIGHTS
from storage.revisions import Manifest
from storage.tensor_names import is_a, layer_of
from storage.validation import validate
from trainer.learners.decomposition import rank_of, shrunk
from trainer.learners.whitening import Whitener
from trainer.profiles import Hyperparameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Primer:
    """Weights under PEFT's names: A [r, d_in], B [d_out, r]; and s of W + s B A. `folder`: where it was read."""

    weights: Mapping[str, Tensor]
    scaling: float
    folder: Path | None = None

    @classmethod
    def read(cls, folder: Path, base_folder: Path) -> Self:
        """PrimerRejected: the folder holds none, or one of another base model than the one in `base_folder`."""
        manifest = manifest_of(folder)
        with _rejected(folder):
            validate(folder, json.loads((base_folder / "config.json").read_bytes()), manifest.rank)
            weights = load_file(folder / WEIGHTS)
        if manifest.base_model_revision != identify(base_folder):
            raise PrimerRejected(folder=str(folder), problem="it was taught for another base model")
        return cls(weights=weights, scaling=manifest.alpha / manifest.rank, folder=folder)

    def begin(
        self, masters: Mapping[str, Tensor], hyperparameters: Hyperparameters, whiteners: Mapping[str, Whitener]
    ) -> None:
        """Makes an adapter's fp32 weights, under PEFT's names, answer as the primer does times `primer`.

        The rows of A beyond the primer's rank stay as they are, and the columns of B zero. A primer of a larger rank is
        taken at the adapter's. Where `primer` is 0, all stays as it is.
        """
        if not hyperparameters.primer:
            return
        rank = min(rank_of(self.weights), hyperparameters.rank)
        own = self.weights if rank == rank_of(self.weights) else shrunk(self.weights, rank)
        share = hyperparameters.primer * self.scaling / hyperparameters.scaling
        for name, weight in own.items():
            given = weight.to(masters[name])
            whitener = whitener_of(name, whiteners)
            if not is_a(name):
                masters[name][:, :rank] = share * given
            else:
                masters[name][:rank] = whitener.inverse(given) if whitener else given


def whitener_of(name: str, whiteners: Mapping[str, Whitener]) -> Whitener | None:
    """That of a weight under PEFT's name; none for a B, and for an A whose layer has none."""
    return whiteners.get(layer_of(name)) if is_a(name) else None


def manifest_of(folder: Path) -> Manifest:
    """What a primer says of itself; takes no base model. PrimerRejected: the folder holds none."""
    with _rejected(folder):
        return Manifest.from_bytes((folder / MANIFEST).read_bytes())


@contextmanager
def _rejected(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PrimerRejected(folder=str(folder), problem=error.strerror or type(error).__name__) from error
    except RevisionRejected as error:
        raise PrimerRejected(folder=str(folder), problem=str(error)) from error
