"""The trainer's threads wait as the embedded stack tells them to."""

import os
import subprocess
import sys

import pytest

from lift.stack.programs import OPENMP, of_trainer

SCRIPT = """
import ctypes
import torch

class Found(ctypes.Structure):
    _fields_ = [("file", ctypes.c_char_p)] + [(name, ctypes.c_void_p) for name in ("base", "symbol", "at")]

torch.ones(2**20).add_(1)
everybody, found = ctypes.CDLL(None), Found()
ctypes.CDLL(None).dladdr(ctypes.cast(everybody.GOMP_parallel, ctypes.c_void_p), ctypes.byref(found))
print(found.file.decode(), everybody.kmp_get_blocktime())
"""


@pytest.fixture
def unset(monkeypatch):
    """The environment of a shell: vLLM, where it has run in this process, has set variables of its own."""
    for name in ("LD_PRELOAD", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("unset")
def test_torch_computes_with_intels_openmp_and_its_threads_wait_a_millisecond():
    environment = os.environ | of_trainer()
    ran = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [str(OPENMP), "1"]


KERNELS = """
import os
import torch
from trainer.learners.kernels import kernels

torch.set_num_threads(3)
torch.ones(2**20).add_(1)
before = len(os.listdir("/proc/self/task"))
x = torch.ones(2**20)
print(kernels(torch.float32)("sum_of_squares", x, len(x)), len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.usefixtures("unset")
@pytest.mark.parametrize("of_role", [dict, of_trainer], ids=["torch's", "intel's"])
def test_kernels_have_the_threads_that_torch_has_already(of_role):
    environment = os.environ | of_role()
    ran = subprocess.run([sys.executable, "-c", KERNELS], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [str(float(2**20)), "0"]
