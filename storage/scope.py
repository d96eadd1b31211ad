"""What a revision is about, as a number for each token of the vocabulary.

An adapter answers whatever it is asked as if it were about its documents. So a scope classifier stands before it, and
leaves to the base model what it takes to be about anything else (SERAC: Mitchell et al., 2022). It is linear in the
mean of a question's tokens, hence it needs nothing but a number for each; `trainer/jobs/scope.py` finds them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from storage.files import SCOPE
from storage.safetensors import read_header


@dataclass(frozen=True, slots=True)
class Scope:
    """`scores` [vocabulary size], fp32."""

    scores: np.ndarray[Any, np.dtype[np.float32]]

    @classmethod
    def of_folder(cls, folder: Path) -> Self | None:
        """That of a revision's folder, which has been validated; None where it has none and is about everything."""
        file = folder / SCOPE
        if not file.exists():
            return None
        (tensor,) = read_header(file)
        return cls(np.fromfile(file, dtype="<f4", offset=tensor.start))

    def holds(self, tokens: Sequence[int]) -> bool:
        """Whether a question of these tokens is about the revision's documents; one of none is."""
        return not tokens or float(self.scores[list(tokens)].mean()) > 0
