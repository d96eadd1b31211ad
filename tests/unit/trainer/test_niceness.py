"""The trainer's niceness, in processes of their own: nobody takes it back."""

import os
import subprocess
import sys

import pytest

from trainer.niceness import AUTOGROUP

STANDING_BACK = """
import os
from trainer.niceness import AUTOGROUP, stand_back
before = os.nice(0)
stand_back(7)
print(os.nice(0) - before, AUTOGROUP.read_text() if AUTOGROUP.exists() else "")
"""


def told(*, leads_session):
    done = subprocess.run(
        [sys.executable, "-c", STANDING_BACK],
        start_new_session=leads_session,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_a_process_that_stands_back_is_niced():
    assert int(told(leads_session=False)[0]) == min(7, 19 - os.nice(0))


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this system does not weigh sessions")
def test_a_session_is_niced_by_its_leader_alone():
    assert told(leads_session=True)[-2:] == ["nice", "7"]
    assert told(leads_session=False)[-2:] != ["nice", "7"]
