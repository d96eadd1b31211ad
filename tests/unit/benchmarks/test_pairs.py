"""The pairs of the benchmarks: whole, and there without what trains on them."""

import subprocess
import sys

from benchmarks.pairs import pairs


def test_every_pair_has_a_question_and_an_answer():
    assert len(pairs()) == 1036
    assert all(question and answer for question, answer in pairs())


def test_what_asks_a_stack_does_not_load_the_trainer():
    asked = (
        "import sys, benchmarks.load, benchmarks.breakeven; print([name for name in sys.modules if 'trainer' in name])"
    )
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout == "[]\n"
