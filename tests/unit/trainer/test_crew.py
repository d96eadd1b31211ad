import threading

import pytest

from lift.values import JobKind, JobState
from trainer.crew import Crew


class Work:
    """Jobs that run until they are let go."""

    def __init__(self, *waiting):
        self.waiting = list(waiting)
        self.running = []
        self.most = 0
        self.lock = threading.Lock()
        self.go_on = threading.Event()

    def run(self, job):
        with self.lock:
            if job in self.waiting:
                self.waiting.remove(job)
            self.running.append(job)
            self.most = max(self.most, len(self.running))
        assert job != "fails"
        self.go_on.wait(60)
        with self.lock:
            self.running.remove(job)

    def joinable(self, limit):
        with self.lock:
            return tuple(self.waiting[:limit])


def begun(work, at_once):
    thread = threading.Thread(target=Crew(work.run, work.joinable, lambda: at_once).run, args=["first"])
    thread.start()
    return thread


def test_those_that_wait_join_up_to_the_limit(wait_until):
    work = Work("second", "third", "fourth")
    crew = begun(work, at_once=3)
    wait_until(lambda: len(work.running) == 3)
    assert set(work.running) == {"first", "second", "third"}
    work.go_on.set()
    crew.join(60)
    assert not crew.is_alive()
    assert work.most == 3


def test_where_one_at_a_time_is_allowed_nobody_joins():
    work = Work("second")
    work.go_on.set()
    begun(work, at_once=1).join(60)
    assert work.waiting == ["second"]


def test_one_that_crashes_leaves_the_others_alone(wait_until):
    work = Work("fails", "second")
    crew = begun(work, at_once=3)
    wait_until(lambda: "second" in work.running)
    work.go_on.set()
    crew.join(60)
    assert not crew.is_alive()
    assert work.running == ["fails"]


def test_a_short_job_ends_while_a_long_one_waits_for_its_generator(bench, wait_until):
    bench.trainer.warm_up()
    bench.generator.hold_before(2)
    long, short = bench.job(tenant="acme"), bench.job(tenant="wile", content=b"one\n")
    crew = Crew(bench.trainer.run, bench.trainer.joinable, bench.trainer.at_once)
    thread = threading.Thread(target=crew.run, args=[long.id])
    thread.start()
    wait_until(lambda: bench.state(short).state is JobState.SUCCEEDED)
    assert bench.state(long).state is JobState.RUNNING
    bench.generator.release()
    thread.join(60)
    assert bench.state(long).state is JobState.SUCCEEDED


@pytest.mark.parametrize("crashed", [False, True])
def test_nobody_joins_a_job_that_a_trainer_died_over(bench, wait_until, monkeypatch, crashed):
    monkeypatch.setattr("trainer.jobs.job.JOIN_AFTER_SECONDS", 0.0)
    bench.trainer.warm_up()
    older, leader = bench.job(content=b"one\n"), bench.job(content=b"two\n")
    if crashed:
        bench.catalogue.leases.claim(leader.id, JobKind.TRAIN, "dead", 0.0)
    bench.generator.hold_before(0)
    looks = []

    def joinable(limit):
        looks.append(bench.trainer.joinable(limit))
        return ()

    crew = Crew(bench.trainer.run, joinable, bench.trainer.at_once)
    thread = threading.Thread(target=crew.run, args=[leader.id])
    thread.start()
    wait_until(lambda: bench.generator.requests)
    before = len(looks)
    wait_until(lambda: len(looks) > before + 1)
    bench.generator.release()
    thread.join(60)
    assert bench.state(leader).state is JobState.SUCCEEDED
    assert looks[before + 1] == (() if crashed else (older.id,))
    assert not (crashed and any(looks))


def test_where_there_is_less_than_no_room_nobody_is_asked_who_waits():
    done = []
    Crew(done.append, joinable=lambda _: pytest.fail("asked"), at_once=lambda: 0).run("first")
    assert done == ["first"]
