"""What tells base models apart."""

import json
import shutil
from pathlib import Path

import pytest

from lift.errors import BaseModelMissing
from storage.base_model import folder_of, identify


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that looks like a base model."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"hidden_size": 8, "transformers_version": "5.0"}))
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 4000)
    return folder


def test_a_copy_is_the_same_model(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "copy")
    assert identify(model) == identify(str(tmp_path / "copy"))
    assert len(identify(model)) == 64


def test_what_wrote_the_model_says_nothing_about_it(model: Path) -> None:
    before = identify(model)
    (model / "config.json").write_text(json.dumps({"transformers_version": "5.1", "hidden_size": 8}))
    assert identify(model) == before


def test_other_weights_or_another_shape_are_another_model(model: Path) -> None:
    before = identify(model)
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[0] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    other_weights = identify(model)
    (model / "config.json").write_text(json.dumps({"hidden_size": 16}))
    assert len({before, other_weights, identify(model)}) == 3


def test_a_folder_that_is_no_model_is_missing(tmp_path: Path, model: Path) -> None:
    with pytest.raises(BaseModelMissing):
        identify(tmp_path)
    (model / "config.json").write_text("{")
    with pytest.raises(BaseModelMissing):
        identify(model)


def test_a_folder_is_its_own_folder(model: Path) -> None:
    assert folder_of(str(model)) == model


@pytest.mark.parametrize("name", ["", "no/such/folder/at/all", "/nowhere"])
def test_a_name_that_is_neither_folder_nor_id_is_missing(name: str) -> None:
    with pytest.raises(BaseModelMissing):
        folder_of(name)
