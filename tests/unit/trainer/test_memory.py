"""What is freed goes back to the system where that is asked for."""

import os
import subprocess
import sys

from lift.stack.programs import of_trainer

SCRIPT = """
import resource
import torch
from trainer.learners.memory import give_back

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

before = resident()
held = [torch.ones(2**18) for _ in range(400)]  # of 1 MiB each
del held[::2]
gaps = resident()
give_back()
print(gaps - before, resident() - before)
"""


def test_gaps_between_buffers_are_given_back():
    environment = os.environ | of_trainer()
    ran = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    gaps, after = map(float, ran.stdout.split())
    assert gaps > 390
    assert after < 250
