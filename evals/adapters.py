"""Turns documents into adapters of the running stack: found where an earlier run left them, trained otherwise."""

from contextlib import suppress
from dataclasses import dataclass

from evals.cases import Document
from lift.client import Client
from lift.errors import AdapterMissing, JobActive
from lift.values import AdapterState, Job, TrainingOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """An adapter that can be asked, and the seconds that its training took, time in the queue apart."""

    id: str
    seconds: float


class Adapters:
    """The adapters of one evaluation; their ids begin with its name, so that it finds them again."""

    def __init__(self, client: Client, name: str, options: TrainingOptions | None) -> None:
        self._client = client
        self._name = name
        self._options = options
        self._trained: dict[str, Trained] = {}

    def of(self, document: Document) -> Trained:
        """The document's adapter, once it can be asked. JobFailed."""
        id_ = f"{self._name}-{document.digest}"
        if id_ not in self._trained:
            seconds = self._job(id_, document).progress.seconds
            self._trained[id_] = Trained(id=id_, seconds=seconds.total - seconds.queue)
        return self._trained[id_]

    def delete(self, document: Document) -> None:
        """Deletes the document's adapter where this run has used it, and waits until it is gone."""
        if trained := self._trained.pop(f"{self._name}-{document.digest}", None):
            self._client.jobs.wait(self._client.adapters.delete(trained.id).id)

    def _job(self, id_: str, document: Document) -> Job:
        """The job that trained the adapter, begun, resumed or waited for as it stands."""
        try:
            adapter = self._client.adapters.get(id_)
        except AdapterMissing:
            options = self._options
            return self._client.ingest(document.text, title=document.title, adapter=id_, options=options).job
        if adapter.state is AdapterState.FAILED:
            return self._retried(adapter.job)
        return self._client.jobs.wait(adapter.job)

    def _retried(self, job: str) -> Job:
        with suppress(JobActive):  # somebody else has
            job = self._client.jobs.retry(job).id
        return self._client.jobs.wait(job)
