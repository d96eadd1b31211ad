"""What a revision's scope may be, and what it says of a question."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from lift.errors import RevisionRejected
from storage.files import SCOPE
from storage.scope import Scope
from storage.validation import SCORES, validate
from tests.unit.storage.test_validation import BASE, MAX_RANK, folder  # noqa: F401 - a fixture

VOCABULARY = 6
MODEL = {**BASE, "vocab_size": VOCABULARY}


def scores(*values: float, dtype: str = "<f4") -> np.ndarray:
    return np.array([values], dtype=dtype)


def test_a_revision_without_one_is_sound_and_about_everything(folder):  # noqa: F811
    validate(folder, MODEL, MAX_RANK)
    assert Scope.of_folder(folder) is None


def test_a_question_is_in_scope_where_the_mean_of_its_tokens_is_above_zero(folder):  # noqa: F811
    save_file({SCORES: scores(3, -1, -1, 0, 0, -9)}, folder / SCOPE)
    validate(folder, MODEL, MAX_RANK)
    scope = Scope.of_folder(folder)
    assert scope is not None
    held = [scope.holds(tokens) for tokens in ([0], [1], [0, 1, 2], [0, 1, 2, 1], [3], [0, 5], [])]
    assert held == [True, False, True, False, False, False, True]


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        ({}, "a tensor is missing"),
        ({"weights": scores(*[0] * VOCABULARY)}, "does not belong"),
        ({SCORES: scores(*[0] * VOCABULARY), "more": scores(1)}, "does not belong"),
        ({SCORES: scores(*[0] * (VOCABULARY - 1))}, "wrong shape"),
        ({SCORES: scores(*[0] * VOCABULARY).T.copy()}, "wrong shape"),
        ({SCORES: scores(*[0] * VOCABULARY, dtype="<f2")}, "not of the type"),
        ({SCORES: scores(*[0] * (VOCABULARY - 1), np.nan)}, "not finite"),
        ({SCORES: scores(*[0] * (VOCABULARY - 1), np.inf)}, "not finite"),
    ],
)
def test_what_is_none_is_refused(folder, tensors, problem):  # noqa: F811
    save_file(tensors, folder / SCOPE)
    with pytest.raises(RevisionRejected, match=problem):
        validate(folder, MODEL, MAX_RANK)


def test_bytes_that_are_no_tensors_are_refused(folder):  # noqa: F811
    (folder / SCOPE).write_bytes(b"\x80\x04N.")
    with pytest.raises(RevisionRejected, match="impossible length"):
        validate(folder, MODEL, MAX_RANK)
