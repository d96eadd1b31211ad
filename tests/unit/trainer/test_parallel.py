"""Several processes that make one step: real ones, over gloo, with a tiny base model."""

import dataclasses
import signal
import time
from datetime import timedelta
from unittest.mock import Mock

import psutil
import pytest
import torch
from torch.distributed.distributed_c10d import _set_pg_timeout

from lift.errors import InvalidOption, WorkerLost
from trainer import base_model
from trainer.examples.batches import Example
from trainer.learners.fused import FusedLearner, Step
from trainer.learners.parallel import ParallelLearner, Worker, shared_out
from trainer.learners.primer import Primer
from trainer.learners.shared import SharedLearner
from trainer.learners.spectra import KeptSpectra
from trainer.profiles import Hyperparameters

SMALL = Hyperparameters(rank=8, alpha=16, learning_rate=5e-3, batch_size=8, seed=1)


@pytest.fixture(scope="session")
def exact(model_folder):
    """In fp32, so that only mistakes make a difference."""
    return base_model.load(str(model_folder), "cpu", threads=1, dtype="float32")


@pytest.fixture(scope="session")
def examples(encoder):
    pairs = [(f"How many {thing * count} are there?", str(7**count)) for count, thing in enumerate("abcdefg", 1)]
    return [encoder.encode(*pair) for pair in pairs]


@pytest.fixture(scope="session")
def kept(exact, examples, tmp_path_factory):
    found = KeptSpectra.of(tmp_path_factory.mktemp("spectra"), exact, examples)
    return lambda: found


@pytest.fixture
def parallel(exact, kept):
    learner = ParallelLearner(exact.model, Worker.beside(exact, 2, timeout_seconds=60), kept)
    yield learner
    learner.close()


def trained(learner, work, steps=5):
    """Losses of each step, and the weights, of adapters with these hyperparameters and examples."""
    losses, weights = [], []
    for hyperparameters, examples in work:
        with learner.adapter(hyperparameters) as adapter:
            losses.append([adapter.step(examples, 1 - step / steps) for step in range(steps)])
            weights.append(adapter.weights())
    return losses, weights


def test_two_processes_train_as_one_does(exact, kept, parallel, examples):
    strict = dataclasses.replace(SMALL, clip_norm=0.01, decay=True, seed=2)
    whitened = dataclasses.replace(SMALL, whitening=30.0)
    work = [(SMALL, examples), (strict, examples[:1]), (whitened, examples[2:5])]  # of one pair, a process has none
    losses, weights = trained(FusedLearner(exact.model, kept), work)
    ours, our_weights = trained(parallel, work)
    for expected, found in zip(losses, ours, strict=True):
        assert found == pytest.approx(expected, rel=1e-4)
    for expected, found in zip(weights, our_weights, strict=True):
        for name, weight in expected.items():
            torch.testing.assert_close(found[name], weight, rtol=2e-2, atol=1e-4, msg=name)


def listening(process):
    """The addresses and ports at which a process takes connections."""
    return {socket.laddr for socket in process.net_connections("tcp") if socket.status == psutil.CONN_LISTEN}


def test_only_this_machine_reaches_the_processes(parallel):
    own = psutil.Process()
    before = listening(own)
    with parallel.adapter(SMALL):
        others = [psutil.Process(other.pid) for other in parallel._group._others]
        found = set.union(*map(listening, [own, *others])) - before
        assert {address.ip for address in found} == {"127.0.0.1"}


def test_two_processes_begin_at_one_primer(exact, parallel, examples, primer_folder):
    primed, primer = dataclasses.replace(SMALL, primer=1.0), Primer.read(primer_folder, exact.folder)
    losses = []
    for learner in (FusedLearner(exact.model), parallel):
        with learner.adapter(primed, primer) as adapter:
            losses.append([adapter.step(examples) for _ in range(3)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_adapters_of_several_jobs_share_steps_of_several_processes(exact, parallel, examples):
    alone, _ = trained(FusedLearner(exact.model), [(SMALL, examples), (SMALL, examples[:3])])
    with parallel.adapter(SMALL) as first, parallel.adapter(SMALL) as second:
        together = [
            parallel.step([Step(first, examples, 1 - step / 5), Step(second, examples[:3], 1 - step / 5)])
            for step in range(5)
        ]
    assert [losses[0] for losses in together] == pytest.approx(alone[0], rel=1e-4)
    assert [losses[1] for losses in together] == pytest.approx(alone[1], rel=1e-4)


def test_a_process_that_dies_fails_the_step_and_the_next_adapter_has_a_new_one(parallel, examples):
    shared = SharedLearner(parallel)
    with shared.adapter(SMALL) as adapter:
        first = adapter.step(examples)
        (worker,) = parallel._group._others
        worker.kill()
        worker.wait()
        began_at = time.monotonic()
        for _ in range(2):
            with pytest.raises(WorkerLost):
                adapter.step(examples)
        assert time.monotonic() - began_at < 30  # half of what a silent one is given
    with shared.adapter(SMALL) as adapter:
        assert adapter.step(examples) == pytest.approx(first, rel=1e-4)


@pytest.mark.parametrize(("copies", "problem"), [(1, "said nothing in time"), (200, "did not listen in time")])
def test_a_process_that_hangs_is_not_waited_for_forever(exact, examples, copies, problem):
    learner = ParallelLearner(exact.model, Worker.beside(exact, 2))
    with learner.adapter(SMALL) as adapter:
        adapter.step(examples)  # as long as that may take: the other process compiles its kernels
        learner._group._timeout_seconds = 1
        _set_pg_timeout(timedelta(seconds=1))
        learner._group._others[0].send_signal(signal.SIGSTOP)
        with pytest.raises(WorkerLost, match=problem):
            adapter.step(examples * copies)  # many do not fit into a pipe that nobody reads


def test_an_adapter_of_a_lost_group_does_no_harm_to_the_next_group(parallel, examples):
    with parallel.adapter(SMALL) as old:
        parallel._group._others[0].kill()
        with pytest.raises(WorkerLost):
            old.step(examples)
        with parallel.adapter(SMALL) as new:
            first = new.step(examples)
            with pytest.raises(WorkerLost, match="earlier step"):
                old.step(examples)
            assert new.step(examples) < first


def test_a_process_that_cannot_start_is_said_at_once(exact, examples, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # nobody is asked for it
    workers = [dataclasses.replace(worker, base_model="nowhere/at-all") for worker in Worker.beside(exact, 2)]
    with pytest.raises(WorkerLost, match="while it started"), ParallelLearner(exact.model, workers).adapter(SMALL):
        pass


def test_a_share_that_fails_in_process_0_updates_nothing_anywhere(parallel, examples, monkeypatch):
    with parallel.adapter(SMALL) as adapter:
        before = adapter.step(examples)
        with monkeypatch.context() as broken:
            broken.setattr(parallel, "learned", Mock(side_effect=ZeroDivisionError))
            with pytest.raises(ZeroDivisionError):
                adapter.step(examples)
        after = adapter.step(examples)
    with FusedLearner.adapter(parallel, SMALL) as alone:
        losses = [FusedLearner.step(parallel, [Step(alone, examples)])[0] for _ in range(2)]
    assert [before, after] == pytest.approx(losses, rel=1e-4)


def test_a_share_that_fails_elsewhere_fails_the_step(parallel, examples):
    unknown = Example(tokens=(1, 10**6, 2), answer_start=1)  # the shortest comes first, and so to process 0
    shorter = Example(tokens=(1, 2), answer_start=1)
    with parallel.adapter(SMALL) as adapter:
        adapter.step(examples)
        with pytest.raises(WorkerLost, match="failed in its share"):
            adapter.step([shorter, unknown])


def test_shares_hold_every_example_once_and_are_about_as_long(examples):
    shares = shared_out(examples, 3)
    assert sorted(e.tokens for share in shares for e in share) == sorted(e.tokens for e in examples)
    assert {len(share) for share in shares} == {2, 3}


def test_a_trainer_of_several_devices_publishes_as_any_other(bench):
    bench.settings = bench.settings.model_copy(
        update={"trainer": bench.settings.trainer.model_copy(update={"devices": 2})}
    )
    bench.trainer = bench.worker("worker-2")
    bench.trainer.warm_up()
    job = bench.job()
    bench.trainer.run(job.id)
    bench.trainer._workshop.unshared.close()
    assert bench.state(job).revision


def test_more_gpus_than_there_are_cannot_be_used(exact, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    on_gpu = dataclasses.replace(exact, model=torch.nn.Linear(1, 1))
    on_gpu.model.device = torch.device("cuda")
    with pytest.raises(InvalidOption, match="at most 1"):
        Worker.beside(on_gpu, 2)
