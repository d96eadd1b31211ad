"""`lift bench`: what is wrong is one sentence on stderr, and stdout holds one JSON object and nothing else."""

import json
import sys

import pytest

from benchmarks import __main__ as command
from lift.errors import InvalidOption


def ended(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["lift bench", *arguments])
    with pytest.raises(SystemExit) as end:
        command.main()
    return end.value.code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve", "--rank", "7", "--model", "m"), "rank"),
        (("serve", "--model", "/nowhere"), "/nowhere"),
        (("serve", "--streams", "1,65", "--model", "m"), "streams"),
        (("load", "--concurrency", "1,x"), "concurrency"),
        (("load",), "gateway"),
        (("pipeline", "--sentences", "0"), "sentences"),
        (("pipeline",), "gateway"),
        (("serve", "--repeats", "x"), "--repeats"),
        (("train", "--device", "gpu", "--model", "m"), "--device"),
    ],
)
def test_what_is_wrong_is_one_sentence(monkeypatch, tmp_path, capsys, arguments, said):
    monkeypatch.setenv("LIFT_STATE_DIR", str(tmp_path))
    assert ended(monkeypatch, *arguments)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert said in printed.err


def test_what_libraries_print_does_not_reach_stdout(capsys):
    command._run(lambda: {"written": sys.stdout.write("chatter\n")}, as_json=True)
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"written": 8}
    assert printed.err == "chatter\n"


def test_what_was_measured_is_printed_even_where_it_cannot_be_drawn(capsys, tmp_path):
    def growth(_):
        sys.stdout.write("chatter\n")
        raise InvalidOption(option="plot", problem="there is nothing to draw")

    with pytest.raises(InvalidOption):
        command._run(lambda: {"score": 1}, as_json=True, plot=tmp_path / "out.png", growth=growth)
    assert json.loads(capsys.readouterr().out) == {"score": 1}
