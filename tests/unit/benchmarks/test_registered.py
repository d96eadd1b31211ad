"""What one engine's adapters cost while they become more."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.memory import held
from benchmarks.registered import Plan, growing
from lift.errors import InvalidOption


class Engine:
    """Holds half a GB more with each adapter, and writes the tokens of adapter n every n + 1 seconds."""

    def __init__(self):
        self.held = []

    def ask(self, do, **arguments):
        if do == "hold":
            assert arguments["first"] == 1 + len(self.held)
            self.held += arguments["folders"]
            return {"seconds": [float(len(self.held)) for _ in arguments["folders"]]}
        if do == "memory":
            return {"memory": 1 + len(self.held) / 2, "own": 1.0}
        [voice] = arguments["voices"]
        assert voice <= len(self.held)
        return {"streams": [[(voice + 1.0) * token for token in range(arguments["answer_tokens"])]]}


def plan(**changes):
    return Plan(**{"base_model": "m", "rank": 32, "adapters": (4, 1), "repeats": 2, "say": lambda _: None, **changes})


def test_adapters_are_loaded_on_and_the_last_one_is_asked():
    engine, folders = Engine(), [Path(f"adapter-{number}") for number in range(4)]
    found = growing(engine, folders, plan())
    assert engine.held == [str(folder) for folder in folders]
    assert [seen["memory_gb"] for seen in found.values()] == [1.0, 1.5, 3.0]
    assert found["0"]["load_seconds"] is None
    assert found["4"]["load_seconds"]["median"] == 4.0
    assert [seen["decode_tokens_per_second"]["median"] for seen in found.values()] == [1.0, 0.5, 0.2]


def test_memory_is_that_of_all_processes_of_a_session():
    holds = "import subprocess, sys; x = bytearray(b'x' * 64_000_000); {}print(flush=True); sys.stdin.read(){}"
    starts_another = f"other = subprocess.Popen([sys.executable, '-c', {holds.format('', '')!r}], stdin=0); "
    code = holds.format(starts_another, "; other.wait()")
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        process.stdout.readline()
        process.stdout.readline()
        of_both = held(process.pid)
        process.stdin.close()
    assert 0.128 < of_both["own"] <= of_both["memory"] < 0.5
    assert held(process.pid) == {"memory": 0.0, "own": 0.0}


@pytest.mark.parametrize(
    "wrong", [{"rank": 7}, {"adapters": ()}, {"adapters": (0,)}, {"adapters": (1025,)}, {"repeats": 0}, {"threads": -1}]
)
def test_a_plan_that_cannot_be_is_refused(wrong):
    with pytest.raises(InvalidOption):
        plan(**wrong)
