"""Turns a tenant's bytes into a kept document, or refuses them and keeps nothing."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from hashlib import sha256
from typing import Any

import grpc
import structlog
from google.protobuf import empty_pb2

from lift.errors import CatalogueUnavailable, DocumentMissing, DocumentTooLarge, InvalidOption
from lift.v1 import documents_pb2 as pb
from lift.v1 import documents_pb2_grpc
from server.gateway import listings, translate
from server.gateway.auth import caller
from server.gateway.places import Rooms
from storage import keys
from storage.catalogue import Catalogue
from storage.objects import ObjectStore
from storage.records import Document
from storage.text import read_text

log = structlog.get_logger()

MAX_MESSAGE_BYTES = 1 << 20
UPLOADS_PER_TENANT = 4
"""Each is held in memory until its last chunk has come; those behind are not read meanwhile."""


class Documents:
    """Every tenant's documents: descriptions in the catalogue, bytes in the object store. Its methods block."""

    def __init__(self, catalogue: Catalogue, objects: ObjectStore) -> None:
        self._catalogue = catalogue
        self._objects = objects

    def create(self, tenant: str, content: bytes, *, title: str, media_type: str, request_id: str) -> Document:
        """DocumentEmpty, DocumentBinary, DocumentUndecodable, MediaTypeUnknown, DocumentExists, QuotaExceeded.

        CatalogueUnavailable: the document may be there all the same, and its bytes stay.
        """
        read_text(content, media_type)
        digest = sha256(content).hexdigest()
        unused = set()

        def put(id_: str) -> None:
            key = keys.document(tenant, id_, digest)
            unused.add(key)
            self._objects.put(key, content)

        try:
            document = self._catalogue.documents.create(
                tenant,
                title=title,
                media_type=media_type,
                sha256=digest,
                size_bytes=len(content),
                request_id=request_id,
                put=put,
            )
            unused.discard(keys.document(tenant, document.id, digest))
        except CatalogueUnavailable:
            unused.clear()  # of a commit that was made and not answered for they are the only ones
            raise
        finally:
            self._objects.delete(unused)  # of a document that did not come about, or that another call made first
        log.info("document_created", document=document.id, bytes=len(content))
        return document

    def delete(self, tenant: str, id_: str) -> None:
        """DocumentMissing: there are no bytes either; DocumentInUse. Where the store is away it can be repeated."""
        try:
            document = self._catalogue.documents.delete(tenant, id_)
            stored = [keys.document(tenant, id_, document.sha256)]
        except DocumentMissing:
            stored = list(self._objects.list(keys.document_prefix(tenant, id_)))
            if not stored:
                raise
        self._objects.delete(stored)
        log.info("document_deleted", document=id_)


class DocumentService(documents_pb2_grpc.DocumentServiceServicer):
    """lift.v1.DocumentService."""

    def __init__(self, catalogue: Catalogue, documents: Documents, max_document_bytes: int) -> None:
        self._catalogue = catalogue
        self._documents = documents
        self._max_document_bytes = max_document_bytes
        self._uploads = Rooms(UPLOADS_PER_TENANT)

    async def CreateDocument(
        self, request: pb.CreateDocumentRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.Document:
        """Bytes in one message."""
        _check_size(len(request.content), min(self._max_document_bytes, MAX_MESSAGE_BYTES))
        return await self._made(request.document, request.content, request.request_id)

    async def UploadDocument(
        self, request_iterator: AsyncIterator[pb.UploadDocumentRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.Document:
        """Bytes in chunks."""
        async with self._uploads.of(caller().id):
            described, content = await collected(request_iterator, self._max_document_bytes)
            return await self._made(described.document, content, described.request_id)

    async def GetDocument(
        self, request: pb.GetDocumentRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.Document:
        """A description."""
        id_ = translate.id_in(request.name, "documents")
        return translate.document(await asyncio.to_thread(self._catalogue.documents.get, caller().id, id_))

    async def ListDocuments(
        self, request: pb.ListDocumentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListDocumentsResponse:
        """A page of descriptions."""
        listed, shown = partial(self._catalogue.documents.list, caller().id), listings.each(translate.document)
        rows, token = await listings.page(request, listed, shown)
        return pb.ListDocumentsResponse(documents=rows, next_page_token=token)

    async def DeleteDocument(
        self, request: pb.DeleteDocumentRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> empty_pb2.Empty:
        """Description and bytes."""
        id_ = translate.id_in(request.name, "documents")
        await asyncio.to_thread(self._documents.delete, caller().id, id_)
        return empty_pb2.Empty()

    async def _made(self, described: pb.Document, content: bytes, request_id: str) -> pb.Document:
        made = await asyncio.to_thread(
            self._documents.create,
            caller().id,
            content,
            title=described.title.strip(),
            media_type=described.media_type.strip(),
            request_id=request_id,
        )
        return translate.document(made)


async def collected(
    parts: AsyncIterator[pb.UploadDocumentRequest], max_document_bytes: int
) -> tuple[pb.UploadDescription, bytes]:
    """Description and bytes of an upload.

    InvalidOption: parts out of order, too large a chunk, or not so many bytes as were announced; DocumentTooLarge.
    """
    described: pb.UploadDescription | None = None
    content = bytearray()
    async for part in parts:
        first = described is None
        if part.HasField("description") != first or (not first and not part.HasField("chunk")):
            raise InvalidOption(option="part", expected="one description first, then chunks")
        if first:
            described = part.description
            continue
        if len(part.chunk) > MAX_MESSAGE_BYTES:
            raise InvalidOption(option="chunk", value=len(part.chunk), expected=f"at most {MAX_MESSAGE_BYTES} bytes")
        _check_size(len(content) + len(part.chunk), max_document_bytes)
        content += part.chunk
    if described is None:
        raise InvalidOption(option="part", expected="one description first, then chunks")
    if described.size_bytes not in {0, len(content)}:
        raise InvalidOption(option="size_bytes", value=described.size_bytes, expected=f"{len(content)}, as have come")
    return described, bytes(content)


def _check_size(size_bytes: int, limit_bytes: int) -> None:
    if size_bytes > limit_bytes:
        raise DocumentTooLarge(limit_bytes=limit_bytes)
