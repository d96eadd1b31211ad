"""Serves lift.v1.AdapterService: adapters, the trainings that make them, and their revisions."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc
import structlog
from google.longrunning import operations_pb2

from lift.settings import ModelSettings
from lift.v1 import adapters_pb2 as pb
from lift.v1 import adapters_pb2_grpc
from server.gateway import checks, listings, translate
from server.gateway.answers import current_digest
from server.gateway.auth import caller
from server.gateway.deletion import Deletions
from server.gateway.downloads import pieces_of
from server.gateway.evidence import Witness
from server.gateway.operations import operation_of
from server.gateway.watches import Watches
from storage.catalogue import Catalogue
from storage.catalogue.pages import page_at
from storage.objects import ObjectStore
from storage.records import Job, RevisionRef
from storage.wakeups import Wakeups

log = structlog.get_logger()


class Trainings:
    """Starts trainings. Its methods block; the trainers hear of a job once it is committed."""

    def __init__(self, catalogue: Catalogue, wakeups: Wakeups, model: ModelSettings) -> None:
        self._catalogue = catalogue
        self._wakeups = wakeups
        self._model = model

    def create(
        self,
        tenant: str,
        *,
        id: str | None,
        title: str,
        documents: Sequence[str],
        options: Mapping[str, Any],
        request_id: str,
    ) -> Job:
        """Errors are those of `Adapters.create`, and InvalidOption for options that no trainer accepts."""
        adapter, job = self._catalogue.adapters.create(
            tenant,
            id=id,
            title=title,
            documents=documents,
            base_model=self._model.base_model,
            options=checks.training_options(options, self._model.max_lora_rank),
            request_id=request_id,
        )
        log.info("adapter_created", adapter=adapter.id, job=job.id, documents=len(adapter.documents))
        self._wakeups.wake(job.id)
        return job

    def again(
        self,
        tenant: str,
        id: str,
        *,
        documents: Sequence[str] | None,
        options: Mapping[str, Any] | None,
        request_id: str,
    ) -> Job:
        """Errors are those of `Adapters.retrain`, and InvalidOption for options that no trainer accepts."""
        checked = None if options is None else checks.training_options(options, self._model.max_lora_rank)
        job = self._catalogue.adapters.retrain(tenant, id, documents=documents, options=checked, request_id=request_id)
        log.info("adapter_retrained", adapter=job.adapter, job=job.id, attempts=job.attempts)
        self._wakeups.wake(job.id)
        return job


class AdapterService(adapters_pb2_grpc.AdapterServiceServicer):
    """lift.v1.AdapterService."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        objects: ObjectStore,
        trainings: Trainings,
        deletions: Deletions,
        watches: Watches,
        witness: Witness,
    ) -> None:
        self._catalogue = catalogue
        self._objects = objects
        self._trainings = trainings
        self._deletions = deletions
        self._watches = watches
        self._witness = witness

    async def CreateAdapter(
        self, request: pb.CreateAdapterRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> operations_pb2.Operation:
        """The operation that trains its first revision."""
        job = await asyncio.to_thread(
            self._trainings.create,
            caller().id,
            id=request.adapter_id or None,
            title=request.adapter.title.strip(),
            documents=[translate.id_in(name, "documents") for name in request.adapter.documents],
            options=translate.options(request.options),
            request_id=request.request_id,
        )
        return await operation_of(self._catalogue, job)

    async def GetAdapter(
        self, request: pb.GetAdapterRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.Adapter:
        """One adapter."""
        id_ = translate.id_in(request.name, "adapters")
        return translate.adapter(await asyncio.to_thread(self._catalogue.adapters.get, caller().id, id_))

    async def ListAdapters(
        self, request: pb.ListAdaptersRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListAdaptersResponse:
        """A page of adapters."""
        listed, shown = partial(self._catalogue.adapters.list, caller().id), listings.each(translate.adapter)
        rows, token = await listings.page(request, listed, shown)
        return pb.ListAdaptersResponse(adapters=rows, next_page_token=token)

    async def RetrainAdapter(
        self, request: pb.RetrainAdapterRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> operations_pb2.Operation:
        """The operation that trains its next revision."""
        job = await asyncio.to_thread(
            self._trainings.again,
            caller().id,
            translate.id_in(request.name, "adapters"),
            documents=[translate.id_in(name, "documents") for name in request.documents] or None,
            options=translate.options(request.options) if request.HasField("options") else None,
            request_id=request.request_id,
        )
        return await operation_of(self._catalogue, job)

    async def ListRevisions(
        self, request: pb.ListRevisionsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListRevisionsResponse:
        """A page of revisions."""
        id_ = translate.id_in(request.parent, "adapters")
        listed, shown = partial(self._catalogue.revisions.list, caller().id, id_), listings.each(translate.revision)
        rows, token = await listings.page(request, listed, shown)
        return pb.ListRevisionsResponse(revisions=rows, next_page_token=token)

    async def ListSentences(
        self, request: pb.ListSentencesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListSentencesResponse:
        """A page of a revision's sentences."""
        ref = await asyncio.to_thread(self._named, caller().id, request.parent)
        sentences = await self._witness.sentences(ref)
        listed, shown = partial(page_at, sentences), listings.each(translate.sentence)
        rows, token = await listings.page(request, listed, shown)
        return pb.ListSentencesResponse(sentences=rows, next_page_token=token)

    async def RollbackAdapter(
        self, request: pb.RollbackAdapterRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.Adapter:
        """The adapter, with an earlier revision as its current one."""
        id_ = translate.id_in(request.name, "adapters")
        digest = translate.revision_of(request.revision, id_)
        return translate.adapter(await asyncio.to_thread(self._catalogue.adapters.rollback, caller().id, id_, digest))

    async def DeleteAdapter(
        self, request: pb.DeleteAdapterRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> operations_pb2.Operation:
        """The operation that deletes it."""
        id_ = translate.id_in(request.name, "adapters")
        job = await asyncio.to_thread(self._deletions.start, caller().id, id_)
        return await operation_of(self._catalogue, job)

    async def WatchOperation(
        self, request: pb.WatchOperationRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[pb.WatchOperationResponse]:
        """The operation now, then at each change."""
        id_ = translate.id_in(request.name, "operations")
        async with aclosing(self._watches.changes(caller().id, id_)) as jobs:
            async for job in jobs:
                yield pb.WatchOperationResponse(operation=await operation_of(self._catalogue, job))

    async def DownloadRevision(
        self, request: pb.DownloadRevisionRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[pb.DownloadRevisionResponse]:
        """The files of a revision, in pieces."""
        ref = await asyncio.to_thread(self._named, caller().id, request.name)
        async with aclosing(pieces_of(self._objects, ref)) as pieces:
            async for piece in pieces:
                yield translate.file_piece(piece)

    def _named(self, tenant: str, name: str) -> RevisionRef:
        """The revision of that name, or the current one of the adapter of that name."""
        if "/revisions/" in name:
            adapter, digest = translate.revision_in(name)
        else:
            adapter = translate.id_in(name, "adapters")
            digest = current_digest(self._catalogue.adapters.get(tenant, adapter, with_documents=False))
        return self._catalogue.revisions.get(RevisionRef(tenant=tenant, adapter=adapter, digest=digest)).ref
