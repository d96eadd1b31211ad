import pytest

from lift.errors import BaseModelMissing
from trainer import base_model


def test_a_model_is_prepared_once(tmp_path):
    written = []

    def write(folder):
        written.append(folder)
        (folder / "config.json").write_text("{}")

    for _ in range(2):
        base_model.prepare(tmp_path / "models" / "base", write)
    assert len(written) == 1
    assert [path.name for path in (tmp_path / "models").rglob("*")] == ["base", "config.json"]


def test_a_preparation_that_fails_leaves_nothing_behind(tmp_path):
    def write(folder):
        (folder / "half").write_text("")
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        base_model.prepare(tmp_path / "base", write)
    assert list(tmp_path.iterdir()) == []


def test_a_preparation_that_another_process_finished_first_is_kept(tmp_path):
    def write(folder):
        (folder / "mine").write_text("")
        (tmp_path / "base").mkdir()
        (tmp_path / "base" / "theirs").write_text("")

    base_model.prepare(tmp_path / "base", write)
    assert [path.name for path in tmp_path.rglob("*")] == ["base", "theirs"]


def test_a_folder_that_holds_no_model_is_said_to_be_none(tmp_path):
    with pytest.raises(BaseModelMissing, match="cannot be found or read"):
        base_model.load(str(tmp_path), "cpu", 0)


def test_a_model_with_a_broken_configuration_is_said_to_be_none(tmp_path, model_folder):
    for file in model_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "nothing-of-the-kind"}')
    with pytest.raises(BaseModelMissing):
        base_model.load(str(tmp_path), "cpu", 0)
