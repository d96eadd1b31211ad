"""Turns an adapter's documents into the text that goes before a question."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from storage import keys
from storage.catalogue import Catalogue
from storage.objects import ObjectStore
from storage.text import read_text

MAX_CHARACTERS = 500_000
"""An engine cuts the context to its window; more than this fits no window, nor into one message between nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """At most MAX_CHARACTERS of documents, and whether there are more."""

    text: str
    truncated: bool


NO_CONTEXT = Context(text="", truncated=False)


class Contexts:
    """Texts of any tenant's documents, read in `readers`."""

    def __init__(self, catalogue: Catalogue, objects: ObjectStore, readers: Executor) -> None:
        self._catalogue = catalogue
        self._objects = objects
        self._readers = readers

    async def context(self, tenant: str, documents: Sequence[str]) -> Context:
        """The documents, one behind the other. DocumentMissing, StoreUnavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, tenant, documents)

    def _read(self, tenant: str, documents: Sequence[str]) -> Context:
        texts: list[str] = []
        room = MAX_CHARACTERS
        for id_ in documents:
            document = self._catalogue.documents.get(tenant, id_)
            text = read_text(self._objects.get(keys.document(tenant, id_, document.sha256)), document.media_type)
            texts.append(text[:room])
            room -= len(text)
            if room < 0:
                break
        return Context(text="\n\n".join(texts), truncated=room < 0)
