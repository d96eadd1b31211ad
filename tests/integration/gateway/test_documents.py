"""Documents over gRPC: kept whole or not at all."""

import asyncio

import grpc
import pytest

from lift import errors
from lift.v1 import documents_pb2 as pb
from lift.values import Quotas
from server.gateway import documents

MIB = 1 << 20


def created(text=b"The tide bell rings.", media_type="text/plain", title="Tides", request_id=""):
    described = pb.Document(title=title, media_type=media_type)
    return pb.CreateDocumentRequest(document=described, content=text, request_id=request_id)


def parts(*chunks, media_type="text/plain", title="Tides"):
    described = pb.UploadDescription(document=pb.Document(title=title, media_type=media_type))
    return [pb.UploadDocumentRequest(description=described), *(pb.UploadDocumentRequest(chunk=c) for c in chunks)]


async def test_a_document_comes_back_as_it_was_described(gateway):
    client = gateway.tenant("acme")
    made = await client.documents.CreateDocument(created())
    assert made.name.startswith("documents/")
    assert (made.title, made.media_type, made.size_bytes) == ("Tides", "text/plain", 20)
    assert await client.documents.GetDocument(pb.GetDocumentRequest(name=made.name)) == made
    listed = await client.documents.ListDocuments(pb.ListDocumentsRequest())
    assert list(listed.documents) == [made]
    assert gateway.objects.get(f"acme/{made.name}/{made.sha256}") == b"The tide bell rings."


async def test_an_upload_is_the_chunks_one_after_another(gateway):
    client = gateway.tenant("acme")
    half = b"ring " * (MIB // 5)
    made = await client.documents.UploadDocument(iter(parts(half, half)))
    assert made.size_bytes == 2 * len(half)
    assert gateway.objects.get(f"acme/{made.name}/{made.sha256}") == half + half


async def test_documents_are_listed_newest_first_in_pages(gateway):
    client = gateway.tenant("acme")
    made = [await client.documents.CreateDocument(created(f"Text {n}.".encode())) for n in range(3)]
    first = await client.documents.ListDocuments(pb.ListDocumentsRequest(page_size=2))
    assert [document.name for document in first.documents] == [made[2].name, made[1].name]
    request = pb.ListDocumentsRequest(page_size=2, page_token=first.next_page_token)
    second = await client.documents.ListDocuments(request)
    assert [document.name for document in second.documents] == [made[0].name]
    assert second.next_page_token == ""


async def test_a_repeated_request_id_returns_the_first_document(gateway, refused):
    client = gateway.tenant("acme")
    made = await client.documents.CreateDocument(created(request_id="once"))
    assert await client.documents.CreateDocument(created(request_id="once")) == made
    error = await refused(client.documents.CreateDocument(created(b"Other text.", request_id="once")))
    assert type(error) is errors.RequestIdReused


async def test_the_same_bytes_are_refused_with_the_document_that_holds_them(gateway, refused):
    client = gateway.tenant("acme")
    made = await client.documents.CreateDocument(created())
    error = await refused(client.documents.CreateDocument(created(title="Another title")))
    assert type(error) is errors.DocumentExists
    assert f"documents/{error.facts['document']}" == made.name
    other = await gateway.tenant("other").documents.CreateDocument(created())
    assert other.name != made.name


async def test_of_two_uploads_of_the_same_bytes_at_once_one_is_kept_and_the_other_leaves_nothing(gateway):
    client = gateway.tenant("acme")
    calls = [client.documents.CreateDocument(created()) for _ in range(8)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    (made,) = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    assert list(gateway.objects.list("acme/")) == [f"acme/{made.name}/{made.sha256}"]


async def test_a_document_whose_commit_nobody_answered_for_keeps_its_bytes(gateway, refused, monkeypatch):
    client = gateway.tenant("acme")
    create = gateway.catalogue.documents.create

    def unanswered(*arguments, **named):
        create(*arguments, **named)
        raise errors.CatalogueUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(gateway.catalogue.documents, "create", unanswered)
        error = await refused(client.documents.CreateDocument(created(request_id="once")))
    assert type(error) is errors.CatalogueUnavailable
    made = await client.documents.CreateDocument(created(request_id="once"))
    assert gateway.objects.get(f"acme/{made.name}/{made.sha256}") == b"The tide bell rings."


BAD = {
    "no bytes": (created(b""), errors.DocumentEmpty),
    "only space": (created(b" \n\t "), errors.DocumentEmpty),
    "binary": (created(b"\x89PNG\r\n\x1a\n\x00\x00\x00"), errors.DocumentBinary),
    "not of its charset": (created("Küste".encode("latin-1")), errors.DocumentUndecodable),
    "a PDF": (created(media_type="application/pdf"), errors.MediaTypeUnknown),
    "no media type": (created(media_type=""), errors.MediaTypeUnknown),
    "an unknown charset": (created(media_type="text/plain; charset=klingon"), errors.MediaTypeUnknown),
    "an over-long title": (created(title="t" * 201), errors.InvalidOption),
    "a title of two lines": (created(title="one\ntwo"), errors.InvalidOption),
    "more than a message takes": (created(b"x" * (MIB + 1)), errors.DocumentTooLarge),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_document_is_refused_and_leaves_nothing(gateway, refused, case):
    client = gateway.tenant("acme")
    request, kind = BAD[case]
    assert type(await refused(client.documents.CreateDocument(request))) is kind
    await nothing_is_left(gateway, client)


BAD_UPLOADS = {
    "no message": ([], errors.InvalidOption),
    "no description": (parts(b"text")[1:], errors.InvalidOption),
    "two descriptions": (parts() * 2, errors.InvalidOption),
    "an empty message": ([*parts(), pb.UploadDocumentRequest()], errors.InvalidOption),
    "too large a chunk": (parts(b"x" * (MIB + 1)), errors.InvalidOption),
    "too large altogether": (parts(*[b"x" * MIB] * 3), errors.DocumentTooLarge),
    "no bytes": (parts(), errors.DocumentEmpty),
    "binary": (parts(b"\x00\x01\x02" * 10), errors.DocumentBinary),
}


@pytest.mark.parametrize("case", BAD_UPLOADS)
async def test_a_bad_upload_is_refused_and_leaves_nothing(running, refused, case):
    async with running(max_document_bytes=2 * MIB) as gateway:
        client = gateway.tenant("acme")
        messages, kind = BAD_UPLOADS[case]
        assert type(await refused(client.documents.UploadDocument(iter(messages)))) is kind
        await nothing_is_left(gateway, client)


async def test_too_large_says_how_large_is_allowed(running, refused):
    async with running(max_document_bytes=10) as gateway:
        error = await refused(gateway.tenant("acme").documents.CreateDocument(created()))
        assert error.facts == {"limit_bytes": "10"}


async def test_an_upload_that_breaks_off_leaves_nothing(gateway, eventually):
    client = gateway.tenant("acme")
    call = client.documents.UploadDocument()
    for part in parts(b"The tide bell"):
        await call.write(part)
    call.cancel()
    await client.documents.ListDocuments(pb.ListDocumentsRequest())
    await nothing_is_left(gateway, client)


@pytest.mark.parametrize("announced", [12, 14, -1])
async def test_an_upload_of_other_than_the_announced_bytes_is_taken_for_broken_off(gateway, refused, announced):
    client = gateway.tenant("acme")
    upload = parts(b"The tide", b" bell")
    upload[0].description.size_bytes = announced
    error = await refused(client.documents.UploadDocument(iter(upload)))
    assert (type(error), error.facts["option"]) == (errors.InvalidOption, "size_bytes")
    await nothing_is_left(gateway, client)
    upload[0].description.size_bytes = 13
    assert (await client.documents.UploadDocument(iter(upload))).size_bytes == 13


async def test_an_upload_behind_as_many_as_a_tenant_may_have_waits_and_anothers_does_not(
    gateway, eventually, monkeypatch
):
    read = []
    collected = documents.collected
    monkeypatch.setattr(documents, "collected", lambda *upload: (read.append(upload), collected(*upload))[1])
    client, other = gateway.tenant("acme"), gateway.tenant("other")
    begun = [client.documents.UploadDocument() for _ in range(documents.UPLOADS_PER_TENANT)]
    for call in begun:
        await call.write(parts()[0])
    await eventually(lambda: len(read) == len(begun))
    behind = asyncio.ensure_future(client.documents.UploadDocument(iter(parts(b"It rings."))))
    await other.documents.UploadDocument(iter(parts(b"It rings.")))
    await client.documents.ListDocuments(pb.ListDocumentsRequest())
    assert not list(gateway.objects.list("acme/"))
    begun.pop().cancel()
    await behind
    for call in begun:
        call.cancel()


async def test_a_document_past_a_quota_is_refused(gateway, refused):
    client = gateway.tenant("acme", Quotas(max_documents=1))
    await client.documents.CreateDocument(created())
    error = await refused(client.documents.CreateDocument(created(b"Another text.")))
    assert type(error) is errors.QuotaExceeded
    assert len(list(gateway.objects.list("acme/"))) == 1


async def test_a_deleted_document_is_gone_with_its_bytes(gateway, refused):
    client = gateway.tenant("acme")
    made = await client.documents.CreateDocument(created())
    await client.documents.DeleteDocument(pb.DeleteDocumentRequest(name=made.name))
    error = await refused(client.documents.GetDocument(pb.GetDocumentRequest(name=made.name)))
    assert type(error) is errors.DocumentMissing
    await nothing_is_left(gateway, client)


async def test_a_deletion_that_found_the_store_away_can_be_repeated(gateway, refused, monkeypatch):
    client = gateway.tenant("acme")
    made = await client.documents.CreateDocument(created())
    request = pb.DeleteDocumentRequest(name=made.name)
    with monkeypatch.context() as patch:
        patch.setattr(gateway.objects, "delete", away)
        assert type(await refused(client.documents.DeleteDocument(request))) is errors.StoreUnavailable
    await client.documents.DeleteDocument(request)
    await nothing_is_left(gateway, client)
    assert type(await refused(client.documents.DeleteDocument(request))) is errors.DocumentMissing


async def test_a_document_that_an_adapter_is_made_from_stays(gateway, refused):
    client = gateway.tenant("acme")
    gateway.ready("acme", "tides")
    name = (await client.documents.ListDocuments(pb.ListDocumentsRequest())).documents[0].name
    error = await refused(client.documents.DeleteDocument(pb.DeleteDocumentRequest(name=name)))
    assert type(error) is errors.DocumentInUse
    assert len(list(gateway.objects.list("acme/documents/"))) == 1


async def test_another_tenants_document_is_exactly_like_one_that_is_not_there(gateway):
    acme, other = gateway.tenant("acme"), gateway.tenant("other")
    name = (await acme.documents.CreateDocument(created())).name

    async def failures(client):
        seen = []
        for call in (
            client.documents.GetDocument(pb.GetDocumentRequest(name=name)),
            client.documents.DeleteDocument(pb.DeleteDocumentRequest(name=name)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await call
            details = dict(failed.value.trailing_metadata())["grpc-status-details-bin"]
            seen.append((failed.value.code(), failed.value.details(), details))
        return seen

    as_other = await failures(other)
    await acme.documents.DeleteDocument(pb.DeleteDocumentRequest(name=name))
    assert await failures(acme) == as_other


@pytest.mark.parametrize(
    "name", ["", "documents/", "adapters/a", "documents/a/b", "documents/../../etc", "documents/A"]
)
async def test_a_malformed_name_is_refused(gateway, refused, name):
    client = gateway.tenant("acme")
    for call in (
        client.documents.GetDocument(pb.GetDocumentRequest(name=name)),
        client.documents.DeleteDocument(pb.DeleteDocumentRequest(name=name)),
    ):
        assert type(await refused(call)) is errors.MalformedName


async def test_bad_pages_are_refused(gateway, refused):
    client = gateway.tenant("acme")
    error = await refused(client.documents.ListDocuments(pb.ListDocumentsRequest(page_token="nonsense")))
    assert type(error) is errors.MalformedPageToken
    error = await refused(client.documents.ListDocuments(pb.ListDocumentsRequest(page_size=-1)))
    assert type(error) is errors.InvalidOption


def away(_):
    raise errors.StoreUnavailable


async def nothing_is_left(gateway, client):
    assert list(gateway.objects.list("acme/")) == []
    assert not (await client.documents.ListDocuments(pb.ListDocumentsRequest())).documents
