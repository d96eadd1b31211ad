"""`Client`: a tenant's calls, each of which blocks until it has its value."""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc

from lift import values
from lift.client import adapters, documents, ingesting, jobs, queries
from lift.client.call import Call, Flow, Listing, translated
from lift.client.connection import Connection, tenant_connection
from lift.client.documents import Source
from lift.errors import InternalError, TimedOut, Unavailable
from lift.v1 import queries_pb2

T = TypeVar("T")


class Channel:
    """Makes calls over one connection, and raises lift.errors."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel = grpc.insecure_channel(connection.address, options=connection.channel_options)

    def value(self, call: Call[T]) -> T:
        """The value of one call."""
        with translated(self._connection.address):
            return call.read(self._begun(call))

    def values(self, call: Call[T]) -> Iterator[T]:
        """The values of a call that streams, which ends when nobody wants more."""
        stream = None
        try:
            with translated(self._connection.address):
                stream = self._begun(call)
                yield from map(call.read, stream)
        finally:
            if stream is not None:
                stream.cancel()

    def items(self, listing: Listing[T]) -> Iterator[T]:
        """Everything in a listing, a page at a time."""
        token = ""
        while True:
            page = self.value(listing(token))
            yield from page.items
            token = page.next_token
            if not token:
                return

    def outcome(self, flow: Flow[T]) -> T:
        """What several calls in turn come to."""
        try:
            call = next(flow)
            while True:
                try:
                    value = self.value(call)
                except Exception as error:  # the flow's to judge
                    call = flow.throw(error)
                else:
                    call = flow.send(value)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # a generator's return type does not reach StopIteration

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def _begun(self, call: Call[Any]) -> Any:
        method = getattr(call.stub(self._channel), call.method)
        return method(call.request(), metadata=self._connection.metadata, timeout=call.timeout_seconds)


class Client:
    """A tenant's connection to a gateway; safe to use from several threads.

    Where address and key are not given they come from LIFT_ADDRESS and LIFT_KEY, or from the client file of `state_dir`
    (LIFT_STATE_DIR, .lift) that `lift up` writes. Every method raises errors of `lift.errors`; GatewayUnavailable after
    some retries where nothing can be lost by them.
    """

    def __init__(
        self, address: str | None = None, key: str | None = None, *, state_dir: Path | str | None = None
    ) -> None:
        folder = Path(state_dir) if state_dir is not None else None
        self._channel = Channel(tenant_connection(address, key, folder))
        self.documents = Documents(self._channel)
        self.adapters = Adapters(self._channel)
        self.jobs = Jobs(self._channel)

    def ingest(
        self,
        sources: Source | Sequence[Source],
        *,
        title: str | None = None,
        adapter: str | None = None,
        media_type: str | None = None,
        options: values.TrainingOptions | None = None,
        wait: bool = True,
        timeout_seconds: float | None = None,
    ) -> values.Ingested:
        """Turns documents (a Path is a file, a str is text) into one adapter, and waits until it can be asked.

        An adapter that exists is retrained from exactly these documents. JobFailed, JobCancelled, TimedOut.
        """
        flow = ingesting.ingest(sources, title=title, adapter=adapter, media_type=media_type, options=options)
        begun = self._channel.outcome(flow)
        if not wait:
            return begun
        job = self.jobs.wait(begun.job.id, timeout_seconds=timeout_seconds)
        return values.Ingested(documents=begun.documents, adapter=begun.adapter, job=job)

    def query(
        self, adapter: str | None, question: str | Sequence[values.Turn], **asking: Unpack[queries.Asking]
    ) -> values.Answer:
        """The answer of an adapter, of the base model where it is None. AdapterTraining: it cannot be asked yet."""
        return self._channel.value(queries.query(adapter, question, asking))

    def stream(
        self, adapter: str | None, question: str | Sequence[values.Turn], **asking: Unpack[queries.Asking]
    ) -> "AnswerStream":
        """The answer as the engine writes it."""
        return AnswerStream(self._channel.values(queries.stream(adapter, question, asking)))

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AnswerStream:
    """An answer piece by piece: iterate over its text; `answer()` is the whole."""

    def __init__(self, pieces: Iterator[queries_pb2.StreamQueryResponse]) -> None:
        self._incoming = pieces
        self._pieces = queries.Pieces()

    def __iter__(self) -> Iterator[str]:
        for piece in self._incoming:
            if text := self._pieces.take(piece):
                yield text

    def answer(self) -> values.Answer:
        """The whole answer with its facts; waits for what is still to come."""
        for piece in self._incoming:
            self._pieces.take(piece)
        whole = self._pieces.answer()
        if whole is None:
            raise InternalError(problem="the stream ended before the answer did")
        return whole


class Documents:
    """A tenant's documents."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def create(self, content: bytes | str, *, title: str, media_type: str = documents.PLAIN_TEXT) -> values.Document:
        """A document of at most 1 MiB. DocumentExists (its fact `document` is the id), DocumentEmpty, QuotaExceeded…"""
        return self._channel.value(documents.create(content, title=title, media_type=media_type))

    def upload(self, source: Source, *, title: str | None = None, media_type: str | None = None) -> values.Document:
        """A document of any size, in chunks; title and media type come from a file's name. Errors as `create`."""
        return self._channel.value(documents.upload(source, title=title, media_type=media_type))

    def get(self, document: str) -> values.Document:
        """One document. DocumentMissing."""
        return self._channel.value(documents.get(document))

    def list(self) -> Iterator[values.Document]:
        """All documents, newest first."""
        return self._channel.items(documents.page)

    def delete(self, document: str) -> None:
        """Deletes a document. DocumentInUse: an adapter or a revision is made from it."""
        self._channel.value(documents.delete(document))


class Adapters:
    """A tenant's adapters and their revisions."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def create(
        self,
        documents: Sequence[str],
        *,
        title: str,
        id: str | None = None,
        options: values.TrainingOptions | None = None,
    ) -> values.Job:
        """The job that trains a new adapter from document ids. AdapterExists, DocumentMissing, InvalidOption."""
        return self._channel.value(adapters.create(documents, title=title, id=id, options=options))

    def get(self, adapter: str) -> values.Adapter:
        """One adapter. AdapterMissing."""
        return self._channel.value(adapters.get(adapter))

    def list(self) -> Iterator[values.Adapter]:
        """All adapters, newest first."""
        return self._channel.items(adapters.page)

    def retrain(
        self,
        adapter: str,
        *,
        documents: Sequence[str] | None = None,
        options: values.TrainingOptions | None = None,
    ) -> values.Job:
        """The job that trains a new revision, of the same documents and options where none are given. JobActive."""
        return self._channel.value(adapters.retrain(adapter, documents, options))

    def revisions(self, adapter: str) -> Iterator[values.Revision]:
        """All revisions, newest first."""
        return self._channel.items(adapters.revisions(adapter))

    def sentences(self, adapter: str, *, revision: str | None = None) -> Iterator[values.Sentence]:
        """What a revision (the current one) was made from and knows, in order. RevisionMissing."""
        return self._channel.items(adapters.sentences(adapter, revision))

    def rollback(self, adapter: str, revision: str) -> values.Adapter:
        """The adapter with an earlier revision as its current one. RevisionMissing."""
        return self._channel.value(adapters.rollback(adapter, revision))

    def download(self, adapter: str, folder: Path | str, *, revision: str | None = None) -> tuple[Path, ...]:
        """The files of a revision (the current one) in PEFT format, written to a folder. RevisionMissing."""
        files = adapters.Files(Path(folder))
        for piece in self._channel.values(adapters.download(adapter, revision)):
            files.take(piece)
        return files.finished()

    def delete(self, adapter: str) -> values.Job:
        """The job that deletes an adapter everywhere. AdapterMissing."""
        return self._channel.value(adapters.delete(adapter))


class Jobs:
    """A tenant's trainings and deletions."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def get(self, job: str) -> values.Job:
        """One job. JobMissing."""
        return self._channel.value(jobs.get(job))

    def list(self) -> Iterator[values.Job]:
        """All jobs, newest first."""
        return self._channel.items(jobs.page)

    def watch(self, job: str, *, timeout_seconds: float | None = None) -> Iterator[values.Job]:
        """The job now and at each change, until it has ended; picks up again where a gateway restarts. TimedOut."""
        watch = jobs.Watch(job, timeout_seconds)
        while not watch.ended:
            try:
                yield from map(watch.seen, self._channel.values(watch.call()))
            except (Unavailable, TimedOut) as error:
                watch.broken(error)

    def wait(self, job: str, *, timeout_seconds: float | None = None) -> values.Job:
        """The job once it has succeeded. JobFailed, JobCancelled, TimedOut."""
        states = self.watch(job, timeout_seconds=timeout_seconds)
        return jobs.outcome(deque(states, maxlen=1).pop())

    def cancel(self, job: str) -> None:
        """Asks a training to stop."""
        self._channel.value(jobs.cancel(job))

    def retry(self, job: str) -> values.Job:
        """The job, resumed where it failed or was cancelled. JobActive, JobEnded."""
        return self._channel.outcome(jobs.retry(job))

    def delete(self, job: str) -> None:
        """Forgets a job that has ended. JobActive."""
        self._channel.value(jobs.delete(job))
