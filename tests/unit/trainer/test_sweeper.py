import time

from lift.errors import CatalogueUnavailable
from storage.records import JobKind
from storage.wakeups import MemoryWakeups
from trainer.sweeper import Sweeper


def test_after_an_outage_holders_renew_their_leases_before_anybody_takes_them_for_dead(bench, wait_until):
    jobs = bench.catalogue.jobs
    held, waiting = bench.job(), bench.job(content=b"five\n")
    lease = jobs.claim(held.id, JobKind.TRAIN, "holder", 0.0)
    due = jobs.due

    def away(*_, **__):
        jobs.due = due
        raise CatalogueUnavailable

    jobs.due = away
    wakeups = MemoryWakeups()
    with Sweeper(bench.catalogue, wakeups, every_seconds=0.01, patience_seconds=1.0):
        wait_until(lambda: jobs.due == due)
        time.sleep(0.2)
        jobs.heartbeat(lease, 60)
        wait_until(lambda: wakeups.woken)
    assert wakeups.woken == [waiting.id]
