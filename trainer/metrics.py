"""What a trainer counts for Prometheus, in the one process that trains: jobs are threads of it.

The processes of `trainer.devices` compute shares of what is counted here, and Celery's own process trains nothing. One
that dies takes its counts along; the next begins at 0, as Prometheus expects of counters.
"""

from enum import StrEnum

from prometheus_client import Counter, Gauge, Histogram

from lift.serving.metrics import SECONDS


class Outcome(StrEnum):
    """How a trainer's hold of a job ended.

    WAITS: it is tried again later. LOST: another trainer has it, or will once the lease is over. CRASHED: by a fault of
    ours that left the process alive.
    """

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    WAITS = "waits"
    GIVEN_BACK = "given_back"
    LOST = "lost"
    CRASHED = "crashed"


JOBS = Counter("lift_trainer_jobs", "Attempts at jobs, by how they ended.", ["outcome"])
for _outcome in Outcome:
    JOBS.labels(_outcome)  # said as 0 from the start: Prometheus sees no growth in a series that begins at 1
RUNNING = Gauge("lift_trainer_jobs_running", "Jobs that are in hand beside each other.")
READY_SECONDS = Histogram(
    "lift_trainer_ready_seconds",
    "From a job's making to its revision's being current; of one that is retried, since it was made first.",
    buckets=(5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14_400, 86_400),
)
STAGE_SECONDS = Counter(
    "lift_trainer_stage_seconds", "Spent on stages other than training, such as publish, over all jobs.", ["stage"]
)
STEP_SECONDS = Histogram(
    "lift_trainer_step_seconds", "Steps of one job, the wait for those of jobs beside it included.", buckets=SECONDS
)
STARVED_SECONDS = Counter("lift_trainer_starved_seconds", "Between steps, mostly waiting for pairs, over all jobs.")
TOKENS = Counter("lift_trainer_tokens", "Tokens that steps trained on.")
PAIRS = Counter("lift_trainer_pairs", "Pairs taken into training, once for all epochs.")
