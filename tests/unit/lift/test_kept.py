"""What a process has found out is found in a file by the next one."""

from structlog.testing import capture_logs

from lift.kept import remembered


def found(file, made):
    return remembered(
        file, lambda file: int(file.read_text()), lambda: made, lambda value, to: to.write_text(str(value))
    )


def test_what_was_made_once_is_read_afterwards(tmp_path):
    file = tmp_path / "cache" / "number.txt"
    assert found(file, 4) == (4, True)
    assert found(file, 5) == (4, True)
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_is_no_such_one_is_made_anew(tmp_path):
    file = tmp_path / "number.txt"
    file.write_text("four")
    assert found(file, 5) == (5, True)
    assert file.read_text() == "5"


def test_where_it_cannot_be_kept_it_is_made_all_the_same_and_the_log_says_so(tmp_path):
    (tmp_path / "file").touch()
    with capture_logs() as logged:
        assert found(tmp_path / "file" / "number.txt", 4) == (4, False)
    assert [(entry["event"], entry["file"]) for entry in logged] == [
        ("not_kept", str(tmp_path / "file" / "number.txt"))
    ]


def test_what_is_half_written_is_not_left_behind(tmp_path):
    def write(value, to):
        to.write_text(str(value))
        raise OSError("no space left")

    with capture_logs():
        assert remembered(tmp_path / "number.txt", lambda file: int(file.read_text()), lambda: 4, write) == (4, False)
    assert not list(tmp_path.iterdir())
