"""What a held job reports."""

from types import SimpleNamespace

import pytest

from trainer.jobs import hold
from trainer.jobs.hold import Hold


class Jobs:
    """Keeps the progress that a heartbeat brings."""

    def heartbeat(self, lease, lease_seconds, progress):
        self.seconds = dict(progress.seconds)
        return False


@pytest.fixture
def held(monkeypatch):
    """A job that is not really held, each look at whose clock takes it a second further."""
    clock = iter(range(100))
    monkeypatch.setattr(hold, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    jobs = Jobs()
    return Hold(jobs, lease=None, lease_seconds=30, stopping=lambda: False), jobs


def test_the_seconds_of_a_stage_are_those_of_all_its_parts(held):
    holding, jobs = held
    with holding.timed("load"):
        pass
    for _ in range(2):
        with holding.timed("publish"):
            pass
    holding.beat()
    assert jobs.seconds == {"load": 1.0, "publish": 2.0}


def test_a_part_that_fails_has_taken_nothing(held):
    holding, jobs = held
    with pytest.raises(KeyError), holding.timed("load"):
        raise KeyError
    holding.beat()
    assert not jobs.seconds
