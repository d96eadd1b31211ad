"""Turns documents into an adapter: what `ingest` does, as calls in turn."""

from collections.abc import Sequence
from pathlib import Path

from lift import values
from lift.client import adapters, documents
from lift.client.call import Flow
from lift.client.documents import Source
from lift.errors import AdapterExists, DocumentExists, DocumentTooLarge, InvalidInput, InvalidOption


def ingest(
    sources: Source | Sequence[Source],
    *,
    title: str | None,
    adapter: str | None,
    media_type: str | None,
    options: values.TrainingOptions | None,
) -> Flow[values.Ingested]:
    """Uploads the documents and trains one adapter from exactly them; an adapter that exists is retrained.

    A document that the tenant has already is used as it is.
    """
    listed = [sources] if isinstance(sources, Path | bytes | str) else list(sources)
    if not listed:
        raise InvalidOption(option="sources", expected="at least one document")
    known = []
    for source in listed:
        # One title for several documents is the adapter's alone.
        known.append((yield from _document(source, title if len(listed) == 1 else None, media_type)))
    ids = tuple(dict.fromkeys(document.id for document in known))
    name = title if title is not None else known[0].title
    try:
        job: values.Job = yield adapters.create(ids, title=name, id=adapter, options=options)
    except AdapterExists:
        job = yield adapters.retrain(str(adapter), ids, options)
    return values.Ingested(documents=tuple(known), adapter=job.adapter, job=job)


def _document(source: Source, title: str | None, media_type: str | None) -> Flow[values.Document]:
    try:
        document: values.Document = yield documents.upload(source, title=title, media_type=media_type)
    except DocumentExists as error:
        document = yield documents.get(str(error.facts["document"]))
    except (InvalidInput, DocumentTooLarge) as error:
        if not isinstance(source, Path):
            raise
        raise type(error)(file=str(source), **error.facts) from error
    return document
