"""Turns documents into adapters of the running stack: found where an earlier run left them, trained otherwise."""

from collections.abc import Callable
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

    def __init__(
        self, client: Client, name: str, options: TrainingOptions | None, seen: Callable[[Document, Job], None]
    ) -> None:
        """`seen` hears of each training at its changes."""
        self._client = client
        self._name = name
        self._options = options
        self._seen = seen
        self._trained: dict[str, Trained] = {}

    def of(self, document: Document) -> Trained:
        """The document's adapter, once it can be asked. JobFailed."""
        id_ = f"{self._name}-{document.digest}"
        if id_ not in self._trained:
            seconds = self._followed(self._begun(id_, document), document).progress.seconds
            self._trained[id_] = Trained(id=id_, seconds=seconds.total - seconds.queue)
        return self._trained[id_]

    def delete(self, document: Document) -> None:
        """Deletes the document's adapter, if an earlier part of the run made it too, and waits until it is gone."""
        id_ = f"{self._name}-{document.digest}"
        with suppress(AdapterMissing):  # all its questions failed, or were answered before it was deleted
            self._client.jobs.wait(self._client.adapters.delete(id_).id)
        self._trained.pop(id_, None)

    def _begun(self, id_: str, document: Document) -> str:
        """The id of the job that trains the adapter or has trained it, begun or resumed where need be."""
        try:
            adapter = self._client.adapters.get(id_)
        except AdapterMissing:
            options = self._options
            begun = self._client.ingest(document.text, title=document.title, adapter=id_, options=options, wait=False)
            return begun.job.id
        if adapter.state is AdapterState.FAILED:
            with suppress(JobActive):  # somebody else resumes it
                return self._client.jobs.retry(adapter.job).id
        return adapter.job

    def _followed(self, job: str, document: Document) -> Job:
        """The job once it has succeeded."""
        for state in self._client.jobs.watch(job):
            self._seen(document, state)
        if state.error is not None:
            raise state.error
        return state
