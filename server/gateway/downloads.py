"""Turns a revision in the object store into a stream of pieces of its files."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from lift.errors import RevisionMissing
from storage import keys
from storage.objects import ObjectStore
from storage.records import RevisionRef

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePiece:
    """The next bytes of one file; the files come one after another, each in order."""

    file_name: str
    file_size_bytes: int
    chunk: bytes


async def pieces_of(objects: ObjectStore, ref: RevisionRef) -> AsyncGenerator[FilePiece]:
    """All files of the revision. RevisionMissing: there is none (any more)."""
    prefix = keys.revision_prefix(ref)
    stored = await asyncio.to_thread(lambda: tuple(objects.list(prefix)))
    if not stored:
        raise RevisionMissing(adapter=ref.adapter, revision=ref.digest)
    for key in stored:
        size = await asyncio.to_thread(objects.size, key)
        chunks = objects.stream(key, CHUNK_BYTES)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield FilePiece(file_name=key.removeprefix(prefix), file_size_bytes=size or 0, chunk=chunk)
