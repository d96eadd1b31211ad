"""Turns files, bytes and text into the calls of DocumentService."""

import mimetypes
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from lift import values
from lift.client import reading
from lift.client.call import Call, Page
from lift.ids import name_of
from lift.v1 import documents_pb2 as pb
from lift.v1.documents_pb2_grpc import DocumentServiceStub

CHUNK_BYTES = 1 << 20
UPLOAD_SECONDS = 600.0
MEDIA_TYPES = {".txt": "text/plain", ".text": "text/plain", ".md": "text/markdown", ".markdown": "text/markdown"}
PLAIN_TEXT = "text/plain"

Source = Path | bytes | str
"""A document to be: a file, its bytes, or its text."""


def media_type_of(file: Path) -> str:
    """What a file's suffix says; whether it can be read, the server says."""
    if not file.suffix:
        return PLAIN_TEXT
    return MEDIA_TYPES.get(file.suffix.lower()) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"


def create(content: bytes | str, *, title: str, media_type: str) -> Call[values.Document]:
    """Sends a document of at most 1 MiB in one message."""
    request = pb.CreateDocumentRequest(
        document=pb.Document(title=title, media_type=media_type),
        content=_bytes(content),
        request_id=str(uuid.uuid4()),
    )
    return Call(stub=DocumentServiceStub, method="CreateDocument", request=lambda: request, read=reading.document)


def upload(source: Source, *, title: str | None, media_type: str | None) -> Call[values.Document]:
    """Sends a document of any size in chunks. Title and media type come from a file's name where they are None.

    OSError: the file cannot be read.
    """
    if isinstance(source, Path):
        source.open("rb").close()  # said now, not in the middle of a stream
    content = source if isinstance(source, Path) else _bytes(source)
    description = pb.UploadDescription(
        document=pb.Document(
            title=title if title is not None else (_title_of(source) if isinstance(source, Path) else ""),
            media_type=media_type or (media_type_of(source) if isinstance(source, Path) else PLAIN_TEXT),
        ),
        request_id=str(uuid.uuid4()),
        size_bytes=content.stat().st_size if isinstance(content, Path) else len(content),
    )
    return Call(
        stub=DocumentServiceStub,
        method="UploadDocument",
        request=partial(_parts, description, content),
        read=reading.document,
        timeout_seconds=UPLOAD_SECONDS,
    )


def get(document: str) -> Call[values.Document]:
    """Gets a description."""
    request = pb.GetDocumentRequest(name=name_of("documents", document))
    return Call(stub=DocumentServiceStub, method="GetDocument", request=lambda: request, read=reading.document)


def page(token: str) -> Call[Page[values.Document]]:
    """Gets a page of the listing, newest first."""
    request = pb.ListDocumentsRequest(page_token=token)
    return Call(
        stub=DocumentServiceStub,
        method="ListDocuments",
        request=lambda: request,
        read=lambda response: reading.page(response.documents, reading.document, response.next_page_token),
    )


def delete(document: str) -> Call[None]:
    """Deletes a document."""
    request = pb.DeleteDocumentRequest(name=name_of("documents", document))
    return Call(stub=DocumentServiceStub, method="DeleteDocument", request=lambda: request, read=reading.nothing)


def _title_of(file: Path) -> str:
    """The file's name without its suffix, with ? for bytes in it that are no text."""
    return file.stem.encode(errors="replace").decode()


def _parts(description: pb.UploadDescription, content: Path | bytes) -> Iterator[pb.UploadDocumentRequest]:
    yield pb.UploadDocumentRequest(description=description)
    for chunk in _chunks(content):
        yield pb.UploadDocumentRequest(chunk=chunk)


def _chunks(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, Path):
        with content.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
        return
    for start in range(0, len(content), CHUNK_BYTES):
        yield content[start : start + CHUNK_BYTES]


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text
