import os
import signal
import socket

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from lift.values import JobState
from storage.revisions import fetch

START_SECONDS = 120


def succeeded(deployment, job):
    """Whether the job has succeeded; fails at once where it has failed."""
    state = deployment.state(job)
    assert state.state is not JobState.FAILED, state.reason
    return state.state is JobState.SUCCEEDED


def test_a_woken_job_becomes_a_revision_that_peft_loads(deployment, wait_until, model_folder, tmp_path):
    deployment.start()
    job = deployment.job()
    wait_until(lambda: succeeded(deployment, job), START_SECONDS)
    ref = deployment.catalogue.revisions.list("acme", job.adapter).items[0].ref
    folder = fetch(deployment.objects, ref, tmp_path / "fetched", 1 << 30)
    base = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.bfloat16)
    inputs = {"input_ids": torch.arange(20).unsqueeze(0)}
    with torch.no_grad():
        before = base(**inputs).logits
        after = peft.PeftModel.from_pretrained(base, folder)(**inputs).logits
    assert not torch.equal(before, after)
    assert deployment.stop() == 0


def test_a_job_whose_wake_up_was_lost_is_found_by_the_sweeper_and_counted(deployment, wait_until, logged, scraped):
    deployment.start(LIFT_TRAINER__METRICS_HOST="127.0.0.1", LIFT_TRAINER__METRICS_PORT="0")
    jobs = [deployment.job(tenant=tenant, wake=False) for tenant in ("acme", "wile")]
    wait_until(lambda: all(succeeded(deployment, job) for job in jobs), START_SECONDS)
    assert [deployment.state(job).attempts for job in jobs] == [1, 1]
    said = scraped(logged(deployment.log, "trainer_started")["metrics_port"])
    assert said.value("lift_trainer_ready_seconds_count") == 2
    steps = sum(deployment.state(job).progress.step for job in jobs)
    assert said.value("lift_trainer_step_seconds_count") == steps


@pytest.mark.parametrize("victim", ["the child", "the whole process"])
def test_a_job_survives_kill_9_and_no_sentence_is_written_twice(deployment, wait_until, scraped, victim):
    deployment.generator.hold_before(3)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    metrics = {"LIFT_TRAINER__METRICS_HOST": "127.0.0.1", "LIFT_TRAINER__METRICS_PORT": str(port)}
    deployment.start(**metrics)
    job = deployment.job()
    wait_until(lambda: deployment.state(job).progress.step >= 1, START_SECONDS)
    wait_until(lambda: len(deployment.pairs(job)) == 6)
    if victim == "the child":
        os.kill(deployment.child(), signal.SIGKILL)
    else:
        deployment.kill()
        deployment.start(**metrics)
    deployment.generator.release()
    wait_until(lambda: succeeded(deployment, job), START_SECONDS)
    done = [list(request.done_sentences) for request in deployment.generator.requests]
    assert done == [[], [0, 1, 2]]
    assert (deployment.state(job).attempts, deployment.state(job).crashes) == (2, 1)
    assert len(deployment.pairs(job)) == 8
    assert scraped(port).value("lift_trainer_ready_seconds_count") == 1  # of whoever trains now


def test_a_job_waits_for_the_endpoint_and_goes_on_when_it_is_back(deployment, wait_until):
    deployment.generator.go_down(before_sentence=2)
    deployment.start()
    job = deployment.job()
    wait_until(lambda: deployment.state(job).state is JobState.WAITING, START_SECONDS)
    assert "endpoint is down" in deployment.state(job).reason
    deployment.generator.failure = None
    wait_until(lambda: succeeded(deployment, job), START_SECONDS)
    assert list(deployment.generator.requests[-1].done_sentences) == [0, 1]


def test_a_stopped_trainer_gives_its_job_back_and_exits_cleanly(deployment, wait_until):
    deployment.generator.hold_before(2)
    deployment.start()
    job = deployment.job()
    wait_until(lambda: deployment.state(job).progress.step >= 1, START_SECONDS)
    assert deployment.stop() == 0
    assert deployment.state(job).state is JobState.WAITING
    assert deployment.state(job).crashes == 0


def test_a_base_model_that_is_not_there_is_one_sentence_and_an_exit_code(deployment, tmp_path):
    deployment.start(LIFT_MODEL__BASE_MODEL=str(tmp_path / "nowhere"), HF_HUB_OFFLINE="1")
    assert deployment.process.wait(START_SECONDS) == 1
    assert "The base model cannot be found or read" in deployment.log.read_text()
