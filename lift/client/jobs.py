"""Turns what is wanted of jobs into the calls of google.longrunning.Operations, and follows one over broken streams."""

import time

from google.longrunning import operations_pb2 as pb
from google.longrunning.operations_pb2_grpc import OperationsStub

from lift import values
from lift.client import adapters, reading
from lift.client.call import Call, Flow, Page
from lift.errors import JobEnded, LiftError, TimedOut
from lift.ids import name_of


def get(job: str) -> Call[values.Job]:
    """Gets a job."""
    request = pb.GetOperationRequest(name=name_of("operations", job))
    return Call(stub=OperationsStub, method="GetOperation", request=lambda: request, read=reading.job)


def page(token: str) -> Call[Page[values.Job]]:
    """Gets a page of the listing, newest first."""
    request = pb.ListOperationsRequest(name="operations", page_token=token)
    return Call(
        stub=OperationsStub,
        method="ListOperations",
        request=lambda: request,
        read=lambda response: reading.page(response.operations, reading.job, response.next_page_token),
    )


def cancel(job: str) -> Call[None]:
    """Asks a training to stop."""
    request = pb.CancelOperationRequest(name=name_of("operations", job))
    return Call(stub=OperationsStub, method="CancelOperation", request=lambda: request, read=reading.nothing)


def delete(job: str) -> Call[None]:
    """Forgets a job that has ended."""
    request = pb.DeleteOperationRequest(name=name_of("operations", job))
    return Call(stub=OperationsStub, method="DeleteOperation", request=lambda: request, read=reading.nothing)


def retry(job: str) -> Flow[values.Job]:
    """Resumes a training that failed or was cancelled; what is in its journal is not written again.

    JobEnded: it succeeded, or the adapter has a newer job. JobActive: it is still active.
    """
    found = yield get(job)
    if found.state is values.JobState.SUCCEEDED:
        raise JobEnded(job=job, state=found.state)
    adapter: values.Adapter = yield adapters.get(found.adapter)
    if adapter.job != found.id:
        raise JobEnded(job=job, state=found.state, newer=adapter.job)
    resumed: values.Job = yield adapters.retrain(found.adapter, None, None)
    return resumed


class Watch:
    """Follows a job over as many streams as it takes, within a time limit for all of them together."""

    def __init__(self, job: str, timeout_seconds: float | None) -> None:
        self._job = job
        self._until = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        self._heard = False
        self.ended = False

    def call(self) -> Call[values.Job]:
        """The next stream to listen to. TimedOut."""
        self._heard = False
        left = None if self._until is None else self._until - time.monotonic()
        if left is not None and left <= 0:
            raise TimedOut(job=self._job)
        return adapters.watch(self._job, left)

    def seen(self, job: values.Job) -> values.Job:
        """Takes note of what the stream said."""
        self._heard, self.ended = True, job.state.ended
        return job

    def broken(self, error: LiftError) -> None:
        """Raises the error of a stream that said nothing: a gateway that is gone is not asked for ever."""
        if not self._heard:
            raise error


def outcome(job: values.Job) -> values.Job:
    """The job that succeeded; otherwise raises its error: JobFailed, JobCancelled."""
    if job.error is not None:
        raise job.error
    return job
