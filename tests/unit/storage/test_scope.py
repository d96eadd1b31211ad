"""What a revision's scope says of a question."""

import numpy as np
from safetensors.numpy import save_file

from storage.files import SCOPE
from storage.scope import Scope
from storage.validation import SCORES


def test_a_revision_without_one_is_about_everything(tmp_path):
    assert Scope.of_folder(tmp_path) is None


def test_a_question_is_in_scope_where_the_mean_of_its_tokens_is_above_zero(tmp_path):
    save_file({SCORES: np.array([[3, -1, -1, 0, 0, -9]], dtype="<f4")}, tmp_path / SCOPE)
    scope = Scope.of_folder(tmp_path)
    assert scope is not None
    held = [scope.holds(tokens) for tokens in ([0], [1], [0, 1, 2], [0, 1, 2, 1], [3], [0, 5], [])]
    assert held == [True, False, True, False, False, False, True]
