"""What a trainer counts of jobs and steps."""

import pytest
from prometheus_client import REGISTRY

from lift.values import JobState
from trainer.jobs.hold import Stopping
from trainer.metrics import Outcome


def value(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0.0


def outcomes():
    return {outcome: value("lift_trainer_jobs_total", outcome=outcome) for outcome in Outcome}


def ended(before):
    """The outcomes that were counted since."""
    return {outcome: now - before[outcome] for outcome, now in outcomes().items() if now != before[outcome]}


def test_a_job_is_counted_with_its_steps_tokens_pairs_and_seconds(bench):
    names = {
        "steps": "lift_trainer_step_seconds_count",
        "step seconds": "lift_trainer_step_seconds_sum",
        "tokens": "lift_trainer_tokens_total",
        "pairs": "lift_trainer_pairs_total",
        "ready": "lift_trainer_ready_seconds_count",
        "starved": "lift_trainer_starved_seconds_total",
    }
    before, ways = {name: value(metric) for name, metric in names.items()}, outcomes()
    publish = value("lift_trainer_stage_seconds_total", stage="publish")
    job = bench.job()
    bench.trainer.run(job.id)
    progress = bench.state(job).progress
    grown = {name: value(metric) - before[name] for name, metric in names.items()}
    assert (grown["steps"], grown["pairs"], grown["ready"]) == (progress.step, 8, 1)
    assert grown["tokens"] > 8
    assert grown["step seconds"] + grown["starved"] == pytest.approx(progress.seconds["train"])
    assert grown["starved"] == pytest.approx(progress.seconds["starved"], abs=1e-6)
    spent = value("lift_trainer_stage_seconds_total", stage="publish") - publish
    assert spent == pytest.approx(progress.seconds["publish"])
    assert ended(ways) == {Outcome.SUCCEEDED: 1}
    assert value("lift_trainer_jobs_running") == 0


def test_an_outcome_that_never_was_is_said_as_none():
    assert all(
        REGISTRY.get_sample_value("lift_trainer_jobs_total", {"outcome": outcome}) is not None for outcome in Outcome
    )


def test_a_job_is_in_hand_while_it_runs(bench, wait_until):
    bench.generator.hold_before(3)
    job = bench.job()
    with bench.running(job):
        wait_until(lambda: bench.state(job).progress.step >= 1)
        assert value("lift_trainer_jobs_running") == 1
    assert value("lift_trainer_jobs_running") == 0


def test_every_way_in_which_a_hold_ends_has_its_own_count(bench, monkeypatch):
    before = outcomes()
    bench.generator.go_down()
    waits = bench.job()
    bench.trainer.run(waits.id)
    assert bench.state(waits).state is JobState.WAITING
    assert ended(before) == {Outcome.WAITS: 1}

    fails = bench.job(content=b"\xff\xfe\x00", media_type="text/plain")
    bench.trainer.run(fails.id)
    assert bench.state(fails).state is JobState.FAILED
    assert ended(before) == {Outcome.WAITS: 1, Outcome.FAILED: 1}

    def trips(*_):
        raise ZeroDivisionError

    crashes = bench.job(content=b"another\n")
    with monkeypatch.context() as patch:
        patch.setattr(bench.trainer, "_do", trips)
        with pytest.raises(ZeroDivisionError):
            bench.trainer.run(crashes.id)
    assert ended(before)[Outcome.CRASHED] == 1

    def stops(*_):
        raise Stopping

    given_back = bench.job(content=b"yet another\n")
    with monkeypatch.context() as patch:
        patch.setattr(bench.trainer, "_do", stops)
        bench.trainer.run(given_back.id)
    assert ended(before)[Outcome.GIVEN_BACK] == 1
    bench.trainer.run(given_back.id + "-that-is-not-there")
    assert sum(ended(before).values()) == 4
