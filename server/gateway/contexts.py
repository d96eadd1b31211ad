"""Turns an adapter's documents into the text that goes before a question."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor

from storage import keys
from storage.catalogue import Catalogue
from storage.objects import ObjectStore
from storage.text import read_text

MAX_CHARACTERS = 500_000
"""An engine cuts the context to its window; more than this fits no window, nor into one message between nodes."""


class Contexts:
    """Texts of any tenant's documents, read in `readers`."""

    def __init__(self, catalogue: Catalogue, objects: ObjectStore, readers: Executor) -> None:
        self._catalogue = catalogue
        self._objects = objects
        self._readers = readers

    async def text(self, tenant: str, documents: Sequence[str]) -> str:
        """At most MAX_CHARACTERS of the documents, one behind the other. DocumentMissing, StoreUnavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._text, tenant, documents)

    def _text(self, tenant: str, documents: Sequence[str]) -> str:
        texts: list[str] = []
        room = MAX_CHARACTERS
        for id_ in documents:
            document = self._catalogue.documents.get(tenant, id_)
            content = self._objects.get(keys.document(tenant, id_, document.sha256))
            texts.append(read_text(content, document.media_type)[:room])
            room -= len(texts[-1])
            if not room:
                break
        return "\n\n".join(texts)
