"""`AsyncClient`: a tenant's calls for asyncio. Each method does what `Client`'s of that name does."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
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


class AsyncChannel:
    """Makes calls over one connection, and raises lift.errors."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel = grpc.aio.insecure_channel(connection.address, options=connection.channel_options)

    async def value(self, call: Call[T]) -> T:
        """The value of one call."""
        with translated(self._connection.address):
            return call.read(await self._begun(call))

    async def values(self, call: Call[T]) -> AsyncGenerator[T]:
        """The values of a call that streams, which ends when nobody wants more."""
        stream = self._begun(call)
        try:
            with translated(self._connection.address):
                async for response in stream:
                    yield call.read(response)
        finally:
            stream.cancel()

    async def items(self, listing: Listing[T]) -> AsyncIterator[T]:
        """Everything in a listing, a page at a time."""
        token = ""
        while True:
            page = await self.value(listing(token))
            for item in page.items:
                yield item
            token = page.next_token
            if not token:
                return

    async def outcome(self, flow: Flow[T]) -> T:
        """What several calls in turn come to."""
        try:
            call = next(flow)
            while True:
                try:
                    value = await self.value(call)
                except Exception as error:  # the flow's to judge
                    call = flow.throw(error)
                else:
                    call = flow.send(value)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # a generator's return type does not reach StopIteration

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()

    def _begun(self, call: Call[Any]) -> Any:
        method = getattr(call.stub(self._channel), call.method)
        return method(call.request(), metadata=self._connection.metadata, timeout=call.timeout_seconds)


class AsyncClient:
    """A tenant's connection to a gateway, for one event loop. Arguments and errors are those of `Client`."""

    def __init__(
        self, address: str | None = None, key: str | None = None, *, state_dir: Path | str | None = None
    ) -> None:
        folder = Path(state_dir) if state_dir is not None else None
        self._channel = AsyncChannel(tenant_connection(address, key, folder))
        self.documents = AsyncDocuments(self._channel)
        self.adapters = AsyncAdapters(self._channel)
        self.jobs = AsyncJobs(self._channel)

    async def ingest(
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
        """Documents, one adapter made from them, and its job."""
        flow = ingesting.ingest(sources, title=title, adapter=adapter, media_type=media_type, options=options)
        begun = await self._channel.outcome(flow)
        if not wait:
            return begun
        job = await self.jobs.wait(begun.job.id, timeout_seconds=timeout_seconds)
        return values.Ingested(documents=begun.documents, adapter=begun.adapter, job=job)

    async def query(
        self, adapter: str | None, question: str | Sequence[values.Turn], **asking: Unpack[queries.Asking]
    ) -> values.Answer:
        """An answer."""
        return await self._channel.value(queries.query(adapter, question, asking))

    def stream(
        self, adapter: str | None, question: str | Sequence[values.Turn], **asking: Unpack[queries.Asking]
    ) -> "AsyncAnswerStream":
        """An answer as the engine writes it."""
        return AsyncAnswerStream(self._channel.values(queries.stream(adapter, question, asking)))

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncAnswerStream:
    """An answer piece by piece: iterate over its text; `await answer()` is the whole."""

    def __init__(self, pieces: AsyncIterator[queries_pb2.StreamQueryResponse]) -> None:
        self._incoming = pieces
        self._pieces = queries.Pieces()

    async def __aiter__(self) -> AsyncIterator[str]:
        async for piece in self._incoming:
            if text := self._pieces.take(piece):
                yield text

    async def answer(self) -> values.Answer:
        """The whole answer with its facts; waits for what is still to come."""
        async for piece in self._incoming:
            self._pieces.take(piece)
        whole = self._pieces.answer()
        if whole is None:
            raise InternalError(problem="the stream ended before the answer did")
        return whole


class AsyncDocuments:
    """A tenant's documents."""

    def __init__(self, channel: AsyncChannel) -> None:
        self._channel = channel

    async def create(
        self, content: bytes | str, *, title: str, media_type: str = documents.PLAIN_TEXT
    ) -> values.Document:
        """A document of at most 1 MiB."""
        return await self._channel.value(documents.create(content, title=title, media_type=media_type))

    async def upload(
        self, source: Source, *, title: str | None = None, media_type: str | None = None
    ) -> values.Document:
        """A document of any size."""
        return await self._channel.value(documents.upload(source, title=title, media_type=media_type))

    async def get(self, document: str) -> values.Document:
        """One document."""
        return await self._channel.value(documents.get(document))

    def list(self) -> AsyncIterator[values.Document]:
        """All documents, newest first."""
        return self._channel.items(documents.page)

    async def delete(self, document: str) -> None:
        """Deletes a document."""
        await self._channel.value(documents.delete(document))


class AsyncAdapters:
    """A tenant's adapters and their revisions."""

    def __init__(self, channel: AsyncChannel) -> None:
        self._channel = channel

    async def create(
        self,
        documents: Sequence[str],
        *,
        title: str,
        id: str | None = None,
        options: values.TrainingOptions | None = None,
    ) -> values.Job:
        """The job that trains a new adapter."""
        return await self._channel.value(adapters.create(documents, title=title, id=id, options=options))

    async def get(self, adapter: str) -> values.Adapter:
        """One adapter."""
        return await self._channel.value(adapters.get(adapter))

    def list(self) -> AsyncIterator[values.Adapter]:
        """All adapters, newest first."""
        return self._channel.items(adapters.page)

    async def retrain(
        self,
        adapter: str,
        *,
        documents: Sequence[str] | None = None,
        options: values.TrainingOptions | None = None,
    ) -> values.Job:
        """The job that trains a new revision."""
        return await self._channel.value(adapters.retrain(adapter, documents, options))

    def revisions(self, adapter: str) -> AsyncIterator[values.Revision]:
        """All revisions, newest first."""
        return self._channel.items(adapters.revisions(adapter))

    def sentences(self, adapter: str, *, revision: str | None = None) -> AsyncIterator[values.Sentence]:
        """What a revision (the current one) was made from and knows, in order."""
        return self._channel.items(adapters.sentences(adapter, revision))

    async def rollback(self, adapter: str, revision: str) -> values.Adapter:
        """The adapter with an earlier revision as its current one."""
        return await self._channel.value(adapters.rollback(adapter, revision))

    async def download(self, adapter: str, folder: Path | str, *, revision: str | None = None) -> tuple[Path, ...]:
        """The files of a revision, written to a folder."""
        files = adapters.Files(Path(folder))
        async for piece in self._channel.values(adapters.download(adapter, revision)):
            files.take(piece)
        return files.finished()

    async def delete(self, adapter: str) -> values.Job:
        """The job that deletes an adapter."""
        return await self._channel.value(adapters.delete(adapter))


class AsyncJobs:
    """A tenant's trainings and deletions."""

    def __init__(self, channel: AsyncChannel) -> None:
        self._channel = channel

    async def get(self, job: str) -> values.Job:
        """One job."""
        return await self._channel.value(jobs.get(job))

    def list(self) -> AsyncIterator[values.Job]:
        """All jobs, newest first."""
        return self._channel.items(jobs.page)

    async def watch(self, job: str, *, timeout_seconds: float | None = None) -> AsyncGenerator[values.Job]:
        """The job now and at each change, until it has ended."""
        watch = jobs.Watch(job, timeout_seconds)
        while not watch.ended:
            try:
                async with aclosing(self._channel.values(watch.call())) as states:
                    async for state in states:
                        yield watch.seen(state)
            except (Unavailable, TimedOut) as error:
                watch.broken(error)

    async def wait(self, job: str, *, timeout_seconds: float | None = None) -> values.Job:
        """The job once it has succeeded."""
        async with aclosing(self.watch(job, timeout_seconds=timeout_seconds)) as states:
            async for state in states:
                last = state
        return jobs.outcome(last)

    async def cancel(self, job: str) -> None:
        """Asks a training to stop."""
        await self._channel.value(jobs.cancel(job))

    async def retry(self, job: str) -> values.Job:
        """The job, resumed where it failed or was cancelled."""
        return await self._channel.outcome(jobs.retry(job))

    async def delete(self, job: str) -> None:
        """Forgets a job that has ended."""
        await self._channel.value(jobs.delete(job))
