import time

from lift.errors import CatalogueUnavailable
from lift.values import JobKind
from storage.wakeups import MemoryWakeups
from trainer.sweeper import Sweeper


def test_after_an_outage_holders_renew_their_leases_before_anybody_takes_them_for_dead(bench, wait_until):
    leases = bench.catalogue.leases
    held, waiting = bench.job(), bench.job(content=b"five\n")
    lease = leases.claim(held.id, JobKind.TRAIN, "holder", 0.0)
    due = leases.due

    def away(*_, **__):
        leases.due = due
        raise CatalogueUnavailable

    leases.due = away
    wakeups = MemoryWakeups()
    with Sweeper(bench.catalogue, wakeups, every_seconds=0.01, patience_seconds=4.0):
        wait_until(lambda: leases.due == due)
        time.sleep(0.2)
        leases.heartbeat(lease, 60)
        wait_until(lambda: wakeups.woken)
    assert wakeups.woken == [waiting.id]


def test_a_job_is_not_woken_again_while_wake_ups_wait_for_a_trainer(bench, monkeypatch):
    leases, wakeups = bench.catalogue.leases, MemoryWakeups()
    sweeper = Sweeper(bench.catalogue, wakeups, every_seconds=1, patience_seconds=0.1)
    first, second = bench.job(), bench.job(content=b"five\n")
    time.sleep(0.15)
    assert sweeper.sweep() == 2  # those of the gateway are lost: nothing waits
    assert [sweeper.sweep(), sweeper.sweep()] == [0, 0]
    wakeups.woken.remove(first.id)
    leases.wait(leases.claim(first.id, JobKind.TRAIN, "worker", 60), "the generator is away", 0)
    assert sweeper.sweep() == 1  # one that was taken and waits again has no wake-up of its own
    assert wakeups.woken == [second.id, first.id]
    wakeups.woken.clear()  # the broker has lost them
    time.sleep(0.15)
    assert sweeper.sweep() == 2
    wakeups.woken.remove(first.id)  # it has lost one
    monkeypatch.setattr("trainer.sweeper.BEHIND_OTHERS", 2)
    time.sleep(0.3)
    assert sweeper.sweep() == 2


def test_engines_that_have_been_silent_for_long_are_forgotten(bench, monkeypatch, wait_until):
    nodes = bench.catalogue.nodes
    nodes.report(
        "engine-9",
        address="host:1",
        base_model="tiny",
        base_model_revision="r",
        slots=4,
        answers_at_once=64,
        resident=[],
    )
    monkeypatch.setattr("trainer.sweeper.NODE_SILENT_SECONDS", 0.0)
    with Sweeper(bench.catalogue, MemoryWakeups(), every_seconds=0.01, patience_seconds=1.0):
        wait_until(lambda: not nodes.list())
