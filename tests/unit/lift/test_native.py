"""What is compiled for this processor, where it is kept, and what happens where it cannot be."""

import os
import re
import subprocess

import pytest
from structlog.testing import capture_logs

from lift import native
from lift.native import NotCompiled, library, loaded, loaded_tiles


@pytest.fixture(autouse=True)
def any_compiler(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "source" / "number.cpp"
    file.parent.mkdir()
    file.write_text('extern "C" int number() { return NUMBER; }')
    return file


@pytest.fixture
def kept(tmp_path):
    folder = tmp_path / "kept"
    folder.mkdir(mode=0o755)
    return folder


def test_what_is_compiled_is_kept_for_the_next_process(source, kept, monkeypatch):
    assert library(source, str(kept), "NUMBER=4").number() == 4
    monkeypatch.setattr(native, "_run", lambda *_: pytest.fail("compiled again"))
    assert library(source, str(kept), "NUMBER=4").number() == 4
    assert [file.suffix for file in kept.iterdir()] == [".so"]


def test_another_macro_source_or_processor_is_another_library(source, kept, monkeypatch):
    assert library(source, str(kept), "NUMBER=4").number() == 4
    assert library(source, str(kept), "NUMBER=5").number() == 5
    source.write_text('extern "C" int number() { return 2 * NUMBER; }')
    assert library(source, str(kept), "NUMBER=5").number() == 10
    monkeypatch.setattr(native, "processor", lambda: "another")
    assert library(source, str(kept), "NUMBER=5").number() == 10
    assert len(list(kept.iterdir())) == 4


@pytest.fixture
def group_may_write():
    """In what is made from now on, as is usual where every user has a group of their own."""
    before = os.umask(0o002)
    yield
    os.umask(before)


@pytest.mark.usefixtures("group_may_write")
def test_a_folder_that_is_not_there_is_made(source, tmp_path):
    assert library(source, str(tmp_path / "a" / "b"), "NUMBER=4").number() == 4
    assert len(list((tmp_path / "a" / "b").iterdir())) == 1


@pytest.mark.parametrize("kept", ["", "relative/folder"])
def test_without_a_folder_nothing_stays_behind(source, kept, monkeypatch, tmp_path):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(native.tempfile, "tempdir", str(tmp_path / "temporary"))
    assert library(source, kept, "NUMBER=4").number() == 4
    assert not list((tmp_path / "temporary").iterdir())


def test_a_folder_that_others_may_write_to_is_not_used(source, kept):
    kept.chmod(0o777)
    assert library(source, str(kept), "NUMBER=4").number() == 4
    assert not list(kept.iterdir())


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda patch: patch.setattr(native.shutil, "which", lambda _: None), "no C++ compiler"),
        (lambda patch: patch.setenv("CXX", "/nowhere/c++"), "/nowhere/c++"),
        (lambda patch: patch.setattr(native, "FLAGS", ("--no-such-flag",)), "no-such-flag"),
    ],
)
def test_why_there_is_no_library_is_said(source, kept, monkeypatch, broken, said):
    broken(monkeypatch)
    with pytest.raises(NotCompiled, match=re.escape(said)):
        library(source, str(kept), "NUMBER=4")
    assert not [file for file in kept.iterdir() if file.suffix == ".so"]


def test_what_is_wrong_with_a_source_is_said(source, kept):
    source.write_text("this is not C++")
    with pytest.raises(NotCompiled, match=r"number\.cpp"):
        library(source, str(kept))


def test_a_broken_library_is_none(source, kept, monkeypatch):
    def nonsense(*command: str) -> None:
        with open(command[command.index("-o") + 1], "w") as file:
            file.write("no library")

    monkeypatch.setattr(native, "_run", nonsense)
    with pytest.raises(NotCompiled):
        library(source, str(kept))


def test_a_compiler_that_hangs_is_none(source, kept, monkeypatch):
    def hang(*command: str) -> None:
        raise subprocess.TimeoutExpired(command, 1.0)

    monkeypatch.setattr(native, "_run", hang)
    with pytest.raises(NotCompiled, match="timed out"):
        library(source, str(kept))


@pytest.mark.parametrize("folder", ["source", "common"])
def test_another_header_is_another_library(source, kept, tmp_path, monkeypatch, folder):
    monkeypatch.setattr(native, "HEADERS", tmp_path / "common")
    header = tmp_path / folder / "number.h"
    header.parent.mkdir(exist_ok=True)
    source.write_text('#include "number.h"\nextern "C" int number() { return NUMBER; }')
    for number in (4, 5):
        header.write_text(f"#define NUMBER {number}")
        assert library(source, str(kept)).number() == number


def test_where_there_is_no_library_the_log_says_of_which_file_and_why(source, kept):
    assert loaded(source, str(kept), "NUMBER=4", effect="sums are slower").number() == 4
    source.write_text("this is not C++")
    with capture_logs() as logged:
        assert loaded(source, str(kept), effect="sums are slower") is None
    (said,) = logged
    assert (said["event"], said["file"], said["effect"]) == ("kernels_missing", "number.cpp", "sums are slower")
    assert "number.cpp" in said["error"]


@pytest.mark.parametrize("usable", [0, 1])
def test_tiles_that_the_processor_lacks_are_none_and_nothing_is_said(source, kept, usable):
    source.write_text(f'extern "C" int usable() {{ return {usable}; }}')
    with capture_logs() as logged:
        assert (loaded_tiles(source, str(kept), effect="") is not None) == bool(usable)
    assert not logged
