"""The catalogue's tenants, keys, documents, adapters, revisions and nodes, on SQLite and on PostgreSQL."""

import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from lift.errors import (
    AdapterDeleting,
    AdapterExists,
    AdapterMissing,
    CatalogueUnavailable,
    CredentialWrong,
    DocumentExists,
    DocumentInUse,
    DocumentMissing,
    InvalidOption,
    JobActive,
    JobMissing,
    KeyMissing,
    LiftError,
    MalformedName,
    MalformedPageToken,
    NodeMissing,
    QuotaExceeded,
    RequestIdReused,
    RevisionMissing,
    TenantExists,
    TenantInUse,
    TenantMissing,
)
from lift.limits import MAX_ADAPTER_BYTES
from lift.values import AdapterState, JobKind, JobState, Quotas
from storage.catalogue import Catalogue, documents
from storage.catalogue.database import Database, now
from storage.records import Adapter, Document, Job, Page, Revision, RevisionRef


def a_tenant(catalogue: Catalogue, id: str = "acme", **quotas: int) -> str:
    return catalogue.tenants.create(id, "Acme", Quotas(**quotas)).id


def a_document(
    catalogue: Catalogue, tenant: str = "acme", content: str = "a", request_id: str = "", size_bytes: int = 100
) -> Document:
    return catalogue.documents.create(
        tenant,
        title=f"Document {content}",
        media_type="text/plain",
        sha256=content * 64,
        size_bytes=size_bytes,
        request_id=request_id,
        put=lambda _: None,
    )


def an_adapter(
    catalogue: Catalogue, tenant: str = "acme", id: str | None = None, content: str = "a"
) -> tuple[Adapter, Job]:
    document = a_document(catalogue, tenant, content)
    return catalogue.adapters.create(
        tenant, id=id, title="Handbook", documents=[document.id], base_model="base", options={"rank": 8}
    )


def a_revision(job: Job, digest: str = "d", **changes: Any) -> Revision:
    revision = Revision(
        ref=RevisionRef(tenant=job.tenant, adapter=job.adapter, digest=digest * 64),
        job=job.id,
        rank=8,
        size_bytes=1000,
        base_model="base",
        base_model_revision="r",
        sentences=25,
        pairs=100,
        final_loss=0.5,
        created_at=datetime.now(UTC),
    )
    return replace(revision, **changes)


def trained(catalogue: Catalogue, job: Job, digest: str = "d", **changes: Any) -> Revision:
    lease = catalogue.leases.claim(job.id, JobKind.TRAIN, "worker", 60)
    assert lease is not None
    revision = a_revision(job, digest, **changes)
    catalogue.leases.publish(lease, revision)
    return revision


def failed(catalogue: Catalogue, job: Job) -> None:
    lease = catalogue.leases.claim(job.id, JobKind.TRAIN, "worker", 60)
    assert lease is not None
    catalogue.leases.fail(lease, "it broke")


# Tenants and keys


def test_a_tenant_is_kept_as_it_was_created(catalogue: Catalogue) -> None:
    created = catalogue.tenants.create("acme", "Acme", Quotas(max_adapters=3, max_document_bytes=1 << 40))
    assert catalogue.tenants.get("acme") == created
    assert abs(created.created_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_tenants_id_is_made_up_where_none_is_given(catalogue: Catalogue) -> None:
    first, second = (catalogue.tenants.create(None, "", Quotas()).id for _ in range(2))
    assert first != second


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://lift:secret@host/lift", "postgresql+psycopg2://lift:secret@host/lift"]
)
def test_a_url_of_another_database_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(InvalidOption, match=r"catalogue\.url") as refused:
        Catalogue(url)
    assert "secret" not in str(refused.value)


def test_a_taken_tenant_id_is_refused(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    with pytest.raises(TenantExists):
        a_tenant(catalogue)


@pytest.mark.parametrize("id", ["", "Acme", "a/b", "a\0b", "-a", "a" * 64])
def test_a_malformed_id_is_refused(catalogue: Catalogue, id: str) -> None:
    with pytest.raises(MalformedName):
        a_tenant(catalogue, id)


@pytest.mark.parametrize("title", ["t" * 201, "two\nlines", "nul\0"])
def test_a_title_that_is_long_or_holds_control_characters_is_refused(catalogue: Catalogue, title: str) -> None:
    with pytest.raises(InvalidOption):
        catalogue.tenants.create("acme", title, Quotas())


@pytest.mark.parametrize("limit", [-1, 1 << 63])
def test_a_quota_that_is_no_limit_is_refused(catalogue: Catalogue, limit: int) -> None:
    with pytest.raises(InvalidOption):
        catalogue.tenants.create("acme", "", Quotas(max_documents=limit))


def test_a_tenant_is_updated(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    updated = catalogue.tenants.update("acme", "New", Quotas(max_documents=1))
    assert catalogue.tenants.get("acme") == updated
    assert (updated.title, updated.quotas.max_documents) == ("New", 1)
    with pytest.raises(TenantMissing):
        catalogue.tenants.update("nobody", "New", Quotas())


def test_a_tenant_goes_once_its_things_are_gone_and_its_keys_go_with_it(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    _, secret = catalogue.keys.create("acme", "laptop")
    document = a_document(catalogue, request_id="once")
    with pytest.raises(TenantInUse):
        catalogue.tenants.delete("acme")
    catalogue.documents.delete("acme", document.id)
    catalogue.tenants.delete("acme")
    with pytest.raises(TenantMissing):
        catalogue.tenants.get("acme")
    with pytest.raises(CredentialWrong):
        catalogue.keys.tenant_of(secret)


def test_a_key_opens_its_tenant_until_it_is_revoked(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    key, secret = catalogue.keys.create("acme", "laptop")
    assert catalogue.keys.tenant_of(secret).id == "acme"
    assert len(secret) == 48
    assert secret.startswith("lift_")
    catalogue.keys.revoke("acme", key.id)
    with pytest.raises(CredentialWrong):
        catalogue.keys.tenant_of(secret)
    (listed,) = catalogue.keys.list("acme").items
    assert listed.revoked_at is not None
    catalogue.keys.revoke("acme", key.id)
    assert catalogue.keys.list("acme").items == (listed,)


@pytest.mark.parametrize("secret", ["", "lift_", "lift_\0", "\udc80", "' OR 1=1 --"])
def test_what_is_no_key_opens_nothing(catalogue: Catalogue, secret: str) -> None:
    a_tenant(catalogue)
    catalogue.keys.create("acme", "laptop")
    with pytest.raises(CredentialWrong):
        catalogue.keys.tenant_of(secret)


def test_a_tenant_cannot_revoke_another_tenants_key(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    a_tenant(catalogue, "rival")
    key, secret = catalogue.keys.create("acme", "laptop")
    with pytest.raises(KeyMissing):
        catalogue.keys.revoke("rival", key.id)
    assert catalogue.keys.tenant_of(secret).id == "acme"


def test_keys_belong_to_a_tenant_that_is_there(catalogue: Catalogue) -> None:
    with pytest.raises(TenantMissing):
        catalogue.keys.create("nobody", "laptop")
    with pytest.raises(TenantMissing):
        catalogue.keys.list("nobody")


# Documents


def test_the_bytes_are_stored_before_the_document_is_there(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    seen = []
    catalogue.documents.create(
        "acme",
        title="",
        media_type="text/plain",
        sha256="a" * 64,
        size_bytes=1,
        put=lambda _: seen.append(catalogue.documents.list("acme").items),
    )
    assert seen == [()]
    assert len(catalogue.documents.list("acme").items) == 1


def test_a_document_whose_bytes_cannot_be_stored_is_not_there(catalogue: Catalogue) -> None:
    a_tenant(catalogue)

    def put(_: str) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        catalogue.documents.create(
            "acme", title="", media_type="text/plain", sha256="a" * 64, size_bytes=1, request_id="r", put=put
        )
    assert catalogue.documents.list("acme").items == ()
    assert a_document(catalogue, content="b", request_id="r")  # the request id was not used up


def test_a_document_with_the_same_bytes_is_named(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    first = a_document(catalogue)
    with pytest.raises(DocumentExists) as caught:
        a_document(catalogue)
    assert caught.value.facts == {"document": first.id}


def test_two_tenants_can_have_the_same_bytes(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    a_tenant(catalogue, "rival")
    assert a_document(catalogue).id != a_document(catalogue, "rival").id


def test_a_repeated_request_id_gives_the_first_document_and_stores_nothing(catalogue: Catalogue) -> None:
    a_tenant(catalogue, max_documents=1)
    first = a_document(catalogue, request_id="once")
    assert a_document(catalogue, request_id="once") == first
    with pytest.raises(RequestIdReused):
        a_document(catalogue, content="b", request_id="once")


def test_a_request_id_is_free_again_once_its_document_is_gone(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    first = a_document(catalogue, request_id="once")
    catalogue.documents.delete("acme", first.id)
    assert a_document(catalogue, request_id="once").id != first.id


def test_request_ids_of_two_tenants_have_nothing_to_do_with_each_other(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    a_tenant(catalogue, "rival")
    assert a_document(catalogue, request_id="once").id != a_document(catalogue, "rival", "b", request_id="once").id


def test_document_quotas_hold(catalogue: Catalogue) -> None:
    a_tenant(catalogue, max_documents=2)
    a_document(catalogue, content="a")
    a_document(catalogue, content="b")
    with pytest.raises(QuotaExceeded) as caught:
        a_document(catalogue, content="c")
    assert caught.value.facts == {"quota": "max_documents", "limit": 2}
    a_tenant(catalogue, "small", max_document_bytes=150)
    a_document(catalogue, "small")
    with pytest.raises(QuotaExceeded):
        a_document(catalogue, "small", "b")


def test_a_quota_holds_against_requests_at_the_same_time(catalogue: Catalogue) -> None:
    a_tenant(catalogue, max_documents=3)
    outcomes = at_once([lambda content=content: a_document(catalogue, content=content) for content in "abcdef"])
    assert sum(isinstance(outcome, Document) for outcome in outcomes) == 3
    assert sum(isinstance(outcome, QuotaExceeded) for outcome in outcomes) == 3
    assert len(catalogue.documents.list("acme").items) == 3


def test_the_same_request_at_the_same_time_makes_one_document(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    outcomes = at_once([lambda: a_document(catalogue, request_id="once")] * 6)
    assert len({outcome.id for outcome in outcomes if isinstance(outcome, Document)}) == 1
    assert not [outcome for outcome in outcomes if isinstance(outcome, BaseException)]


def test_a_document_that_an_adapter_is_made_from_stays(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, _ = an_adapter(catalogue, id="handbook")
    with pytest.raises(DocumentInUse):
        catalogue.documents.delete("acme", adapter.documents[0])


def test_a_document_that_a_job_reads_stays_until_the_job_has_ended(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue)
    trained(catalogue, job)
    other = a_document(catalogue, content="b")
    retraining = catalogue.adapters.retrain("acme", adapter.id, documents=[other.id])
    with pytest.raises(DocumentInUse):
        catalogue.documents.delete("acme", other.id)
    catalogue.jobs.request_cancel("acme", retraining.id)
    assert catalogue.documents.delete("acme", other.id) == other
    with pytest.raises(DocumentMissing):
        catalogue.documents.get("acme", other.id)


def test_a_document_that_an_earlier_revision_is_made_from_stays_until_its_adapter_goes(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    a_tenant(catalogue, "rival")
    adapter, job = an_adapter(catalogue, content="a")
    a, b, c = adapter.documents[0], *(a_document(catalogue, content=content).id for content in "bc")
    trained(catalogue, job, "1")
    trained(catalogue, catalogue.adapters.retrain("acme", adapter.id, [b]), "2")
    failed(catalogue, catalogue.adapters.retrain("acme", adapter.id, [c]))
    assert catalogue.adapters.get("acme", adapter.id).documents == (b,)
    with pytest.raises(DocumentInUse) as refused:
        catalogue.documents.delete("acme", a)
    assert refused.value.facts["adapter"] == adapter.id
    catalogue.documents.delete("acme", c)
    catalogue.documents.delete("rival", a_document(catalogue, "rival").id)
    catalogue.adapters.start_deletion("acme", adapter.id)
    catalogue.documents.delete("acme", a)


def test_a_document_stays_that_a_revision_is_made_from_which_recalls_too_little(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue, content="a")
    trained(catalogue, job, "1")
    other = a_document(catalogue, content="b").id
    retraining = catalogue.adapters.retrain("acme", adapter.id, [other])
    lease = catalogue.leases.claim(retraining.id, JobKind.TRAIN, "worker", 60)
    assert lease is not None
    catalogue.leases.fail(lease, "it recalls too little", a_revision(retraining, "2"))
    with pytest.raises(DocumentInUse):
        catalogue.documents.delete("acme", other)


# What one tenant has, no other can see


def test_another_tenants_things_are_missing(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    a_tenant(catalogue, "rival")
    adapter, job = an_adapter(catalogue, id="handbook")
    revision = trained(catalogue, job)
    document = adapter.documents[0]
    stolen = RevisionRef(tenant="rival", adapter="handbook", digest=revision.ref.digest)
    attempts: list[tuple[type[LiftError], Callable[[], object]]] = [
        (DocumentMissing, lambda: catalogue.documents.get("rival", document)),
        (DocumentMissing, lambda: catalogue.documents.delete("rival", document)),
        (AdapterMissing, lambda: catalogue.adapters.get("rival", "handbook")),
        (AdapterMissing, lambda: catalogue.adapters.retrain("rival", "handbook")),
        (AdapterMissing, lambda: catalogue.adapters.rollback("rival", "handbook", revision.ref.digest)),
        (AdapterMissing, lambda: catalogue.adapters.start_deletion("rival", "handbook")),
        (AdapterMissing, lambda: catalogue.revisions.list("rival", "handbook")),
        (RevisionMissing, lambda: catalogue.revisions.get(stolen)),
        (JobMissing, lambda: catalogue.jobs.get("rival", job.id)),
        (JobMissing, lambda: catalogue.jobs.request_cancel("rival", job.id)),
        (JobMissing, lambda: catalogue.jobs.delete("rival", job.id)),
        (
            DocumentMissing,
            lambda: catalogue.adapters.create(
                "rival", id=None, title="", documents=[document], base_model="base", options={}
            ),
        ),
    ]
    for error, attempt in attempts:
        with pytest.raises(error):
            attempt()
    assert catalogue.documents.list("rival").items == ()
    assert catalogue.adapters.list("rival").items == ()
    assert catalogue.jobs.list("rival").items == ()
    assert catalogue.jobs.of_adapter("rival", "handbook") == ()
    assert an_adapter(catalogue, "rival", id="handbook")[0].id == "handbook"  # not even the id is seen to be taken


def test_a_name_that_no_database_can_hold_is_a_missing_one(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    for name in ("a\0b", "\udc80", "x" * 10_000):
        with pytest.raises(DocumentMissing):
            catalogue.documents.get("acme", name)
        with pytest.raises(AdapterMissing):
            catalogue.adapters.get("acme", name)
        with pytest.raises(JobMissing):
            catalogue.jobs.get("acme", name)


# Pages


def test_pages_show_everything_once_and_the_newest_first(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    made = [a_document(catalogue, content=content).id for content in "abcdefg"]
    seen: list[str] = []
    token = ""
    while True:
        page = catalogue.documents.list("acme", page_size=3, page_token=token)
        seen += [document.id for document in page.items]
        token = page.next_token
        if not token:
            break
    assert seen == made[::-1]


def test_a_page_goes_on_where_the_last_one_ended_whatever_comes_and_goes(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    made = [a_document(catalogue, content=content).id for content in "abcd"]
    first = catalogue.documents.list("acme", page_size=2)
    a_document(catalogue, content="e")
    catalogue.documents.delete("acme", made[2])
    second = catalogue.documents.list("acme", page_size=2, page_token=first.next_token)
    assert [document.id for document in second.items] == [made[1], made[0]]
    assert second.next_token == ""


def test_every_listing_has_pages(catalogue: Catalogue) -> None:
    for tenant in ("one", "two"):
        a_tenant(catalogue, tenant)
    adapter, job = an_adapter(catalogue, "one", content="a")
    trained(catalogue, job, "d")
    trained(catalogue, catalogue.adapters.retrain("one", adapter.id), "e")
    an_adapter(catalogue, "one", content="b")
    for _ in range(2):
        catalogue.keys.create("one", "")
    for node in ("engine-2", "GPU 1"):
        catalogue.nodes.report(node, **REPORT, resident=[])
    listings: list[Callable[..., Page[Any]]] = [
        catalogue.tenants.list,
        lambda **page: catalogue.documents.list("one", **page),
        lambda **page: catalogue.adapters.list("one", **page),
        lambda **page: catalogue.jobs.list("one", **page),
        lambda **page: catalogue.revisions.list("one", adapter.id, **page),
        lambda **page: catalogue.keys.list("one", **page),
        catalogue.nodes.page,
    ]
    for listing in listings:
        whole = listing()
        first = listing(page_size=1)
        second = listing(page_size=1, page_token=first.next_token)
        assert len(first.items) == len(second.items) == 1
        assert first.items + second.items == whole.items[:2]


@pytest.mark.parametrize(
    "token", ["x", "!!!", "ä", "bnVsbA", "W10", "WzEsMl0", "WzEsImFcdTAwMDAiXQ", "eyIxIjoyfQ", "W1tbW1tbW1tbWw" * 999]
)
def test_a_token_that_was_not_made_here_is_refused(catalogue: Catalogue, token: str) -> None:
    a_tenant(catalogue)
    with pytest.raises(MalformedPageToken):
        catalogue.documents.list("acme", page_token=token)


def test_a_token_of_another_listing_is_refused(catalogue: Catalogue) -> None:
    for tenant in ("one", "two"):
        a_tenant(catalogue, tenant)
        catalogue.nodes.report(tenant, **REPORT, resident=[])
    with pytest.raises(MalformedPageToken):
        catalogue.nodes.page(page_token=catalogue.tenants.list(page_size=1).next_token)
    with pytest.raises(MalformedPageToken):
        catalogue.tenants.list(page_token=catalogue.nodes.page(page_size=1).next_token)


def test_a_negative_page_size_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(InvalidOption):
        catalogue.tenants.list(page_size=-1)


# Adapters and revisions


def test_a_new_adapter_is_in_training_and_names_its_job(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue, id="handbook")
    assert catalogue.adapters.get("acme", "handbook") == adapter
    assert (adapter.state, adapter.current_revision, adapter.job) == (AdapterState.TRAINING, None, job.id)
    assert catalogue.jobs.get("acme", job.id) == job
    assert (job.state, job.kind, job.documents, job.options) == (
        JobState.QUEUED,
        JobKind.TRAIN,
        adapter.documents,
        {"rank": 8},
    )


def test_the_documents_of_an_adapter_keep_their_order(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    ids = [a_document(catalogue, content=content).id for content in "cab"]
    adapter, job = catalogue.adapters.create("acme", id=None, title="", documents=ids, base_model="base", options={})
    assert adapter.documents == job.documents == tuple(ids)
    assert catalogue.adapters.list("acme").items[0].documents == tuple(ids)


def test_an_adapter_that_cannot_be_made_leaves_nothing(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    document = a_document(catalogue).id
    base = {"id": None, "title": "", "documents": [document], "base_model": "base", "options": {}}
    wrong: list[tuple[type[LiftError], dict[str, object]]] = [
        (InvalidOption, {"documents": []}),
        (InvalidOption, {"documents": [document, document]}),
        (DocumentMissing, {"documents": [document, "doc-nowhere"]}),
        (MalformedName, {"id": "No Name"}),
        (InvalidOption, {"options": {"alpha": math.inf}}),
        (InvalidOption, {"options": {"alpha": object()}}),
    ]
    for error, change in wrong:
        with pytest.raises(error):
            catalogue.adapters.create("acme", **{**base, **change})
    assert catalogue.adapters.list("acme").items == ()
    assert catalogue.jobs.list("acme").items == ()


def test_a_taken_adapter_id_is_refused(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    an_adapter(catalogue, id="handbook")
    with pytest.raises(AdapterExists):
        an_adapter(catalogue, id="handbook", content="b")


def test_adapter_and_job_quotas_hold(catalogue: Catalogue) -> None:
    a_tenant(catalogue, max_adapters=1)
    an_adapter(catalogue)
    with pytest.raises(QuotaExceeded):
        an_adapter(catalogue, content="b")
    a_tenant(catalogue, "busy", max_active_jobs=1)
    _, job = an_adapter(catalogue, "busy")
    with pytest.raises(QuotaExceeded):
        an_adapter(catalogue, "busy", content="b")
    failed(catalogue, job)
    an_adapter(catalogue, "busy", content="c")


def test_a_repeated_request_id_gives_the_first_adapter_and_job(catalogue: Catalogue) -> None:
    a_tenant(catalogue, max_adapters=1)
    document = a_document(catalogue).id
    request = {"id": None, "title": "t", "documents": [document], "base_model": "base", "request_id": "once"}
    first = catalogue.adapters.create("acme", options={}, **request)
    assert catalogue.adapters.create("acme", options={}, **request) == first
    with pytest.raises(RequestIdReused):
        catalogue.adapters.create("acme", options={"rank": 16}, **request)


def test_a_published_revision_is_current_and_the_adapter_ready(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue)
    revision = trained(catalogue, job)
    adapter = catalogue.adapters.get("acme", adapter.id)
    assert (adapter.state, adapter.current_revision) == (AdapterState.READY, revision.ref.digest)
    assert catalogue.revisions.get(revision.ref) == revision
    job = catalogue.jobs.get("acme", job.id)
    assert (job.state, job.revision) == (JobState.SUCCEEDED, revision.ref.digest)
    assert job.ended_at is not None


def test_a_revision_keeps_what_it_knows(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    _, job = an_adapter(catalogue)
    revision = trained(catalogue, job, recall=0.75, coverage=0.5, retention=1.0, losses=(2.5, 0.25))
    assert catalogue.revisions.get(revision.ref) == revision


def test_a_revision_that_does_not_deserve_it_is_kept_and_can_be_made_current(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue)
    lease = catalogue.leases.claim(job.id, JobKind.TRAIN, "worker", 60)
    assert lease is not None
    revision = a_revision(job)
    catalogue.leases.fail(lease, "too little", revision)
    ended = catalogue.jobs.get("acme", job.id)
    assert (ended.state, ended.revision) == (JobState.FAILED, revision.ref.digest)
    found = catalogue.adapters.get("acme", adapter.id)
    assert (found.state, found.current_revision) == (AdapterState.FAILED, None)
    rolled = catalogue.adapters.rollback("acme", adapter.id, revision.ref.digest)
    assert (rolled.state, rolled.current_revision) == (AdapterState.READY, revision.ref.digest)


def test_a_loss_that_is_not_a_number_is_kept_as_one(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    _, job = an_adapter(catalogue)
    revision = trained(catalogue, job, final_loss=math.nan)
    assert math.isnan(catalogue.revisions.get(revision.ref).final_loss)


def test_an_adapter_without_a_revision_fails_with_its_job(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue)
    failed(catalogue, job)
    assert catalogue.adapters.get("acme", adapter.id).state is AdapterState.FAILED
    job = catalogue.jobs.get("acme", job.id)
    assert (job.state, job.reason) == (JobState.FAILED, "it broke")


def test_an_adapter_stays_ready_while_it_is_retrained_and_where_that_fails(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue)
    revision = trained(catalogue, job)
    retraining = catalogue.adapters.retrain("acme", adapter.id)
    assert catalogue.adapters.get("acme", adapter.id).state is AdapterState.READY
    failed(catalogue, retraining)
    adapter = catalogue.adapters.get("acme", adapter.id)
    assert (adapter.state, adapter.current_revision) == (AdapterState.READY, revision.ref.digest)


def test_an_adapter_is_retrained_by_one_job_at_a_time(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue)
    with pytest.raises(JobActive) as caught:
        catalogue.adapters.retrain("acme", adapter.id)
    assert caught.value.facts == {"job": job.id}


def test_an_adapter_has_its_new_documents_once_they_are_trained(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue)
    trained(catalogue, job)
    other = a_document(catalogue, content="b").id
    retraining = catalogue.adapters.retrain("acme", adapter.id, documents=[other], options={"rank": 16})
    assert (retraining.documents, retraining.options) == ((other,), {"rank": 16})
    assert catalogue.adapters.get("acme", adapter.id).documents == adapter.documents
    trained(catalogue, retraining, "e")
    assert catalogue.adapters.get("acme", adapter.id).documents == (other,)


def test_a_retraining_without_options_has_those_of_the_last_one(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue)
    trained(catalogue, job)
    retraining = catalogue.adapters.retrain("acme", adapter.id)
    assert (retraining.id != job.id, retraining.options, retraining.documents) == (True, job.options, job.documents)


@pytest.mark.parametrize("changes", [{}, {"options": {"rank": 8}}])
def test_a_failed_training_is_resumed_where_nothing_changes(
    catalogue: Catalogue, changes: dict[str, dict[str, int]]
) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue)
    failed(catalogue, job)
    resumed = catalogue.adapters.retrain("acme", adapter.id, **changes)
    assert (resumed.id, resumed.state, resumed.attempts, resumed.reason) == (job.id, JobState.QUEUED, 0, "")
    assert catalogue.adapters.get("acme", adapter.id).state is AdapterState.TRAINING
    lease = catalogue.leases.claim(job.id, JobKind.TRAIN, "worker", 60)
    assert lease is not None
    assert lease.token == 2


def test_a_cancelled_training_is_resumed_and_no_longer_cancelled(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue)
    catalogue.jobs.request_cancel("acme", job.id)
    catalogue.jobs.delete("acme", job.id)
    resumed = catalogue.adapters.retrain("acme", adapter.id)
    assert (resumed.id, resumed.cancel_requested) == (job.id, False)
    assert catalogue.jobs.get("acme", job.id).state is JobState.QUEUED


def test_a_failed_training_is_begun_anew_where_something_changes(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue)
    failed(catalogue, job)
    assert catalogue.adapters.retrain("acme", adapter.id, options={"rank": 16}).id != job.id


def test_a_repeated_retraining_request_gives_the_first_job(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue)
    trained(catalogue, job)
    first = catalogue.adapters.retrain("acme", adapter.id, request_id="once")
    assert catalogue.adapters.retrain("acme", adapter.id, request_id="once") == first


def test_an_adapter_rolls_back_to_an_earlier_revision_of_its_own(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue)
    first = trained(catalogue, job, "d")
    trained(catalogue, catalogue.adapters.retrain("acme", adapter.id), "e")
    assert catalogue.adapters.rollback("acme", adapter.id, first.ref.digest).current_revision == first.ref.digest
    with pytest.raises(RevisionMissing):
        catalogue.adapters.rollback("acme", adapter.id, "f" * 64)
    assert [r.ref.digest[0] for r in catalogue.revisions.list("acme", adapter.id).items] == ["e", "d"]


def test_a_rolled_back_adapter_has_the_documents_of_its_revision_again(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue, content="a")
    a, b, c = adapter.documents[0], a_document(catalogue, content="b").id, a_document(catalogue, content="c").id
    first = trained(catalogue, job, "1")
    second = trained(catalogue, catalogue.adapters.retrain("acme", adapter.id, [b, c]), "2")
    assert catalogue.adapters.rollback("acme", adapter.id, first.ref.digest).documents == (a,)
    assert catalogue.adapters.rollback("acme", adapter.id, second.ref.digest).documents == (b, c)


def test_a_new_engine_is_filled_with_current_revisions_of_its_base_model(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue, content="a")
    trained(catalogue, job, "1")
    newest = trained(catalogue, catalogue.adapters.retrain("acme", adapter.id), "2")
    _, other_job = an_adapter(catalogue, content="b")
    other = trained(catalogue, other_job, "3")
    gone, gone_job = an_adapter(catalogue, content="c")
    trained(catalogue, gone_job, "4")
    catalogue.adapters.start_deletion("acme", gone.id)
    assert catalogue.revisions.current("base", 10) == (other.ref, newest.ref)
    assert catalogue.revisions.current("base", 1) == (other.ref,)
    assert catalogue.revisions.current("another", 10) == ()


# Deletion


def test_a_deleted_adapter_leaves_its_job_and_nothing_else(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    adapter, job = an_adapter(catalogue, id="handbook")
    revision = trained(catalogue, job)
    deletion = catalogue.adapters.start_deletion("acme", "handbook")
    assert catalogue.adapters.get("acme", "handbook").state is AdapterState.DELETING
    assert catalogue.adapters.start_deletion("acme", "handbook") == deletion
    for attempt in (
        lambda: catalogue.adapters.retrain("acme", "handbook"),
        lambda: catalogue.adapters.rollback("acme", "handbook", revision.ref.digest),
    ):
        with pytest.raises(AdapterDeleting):
            attempt()
    assert catalogue.jobs.of_adapter("acme", "handbook") == (job.id,)
    lease = catalogue.leases.claim(deletion.id, JobKind.DELETE, "worker", 60)
    assert lease is not None
    catalogue.adapters.finish_deletion(lease)
    with pytest.raises(AdapterMissing):
        catalogue.adapters.get("acme", "handbook")
    with pytest.raises(RevisionMissing):
        catalogue.revisions.get(revision.ref)
    assert catalogue.jobs.get("acme", deletion.id).state is JobState.SUCCEEDED
    assert [left.id for left in catalogue.jobs.list("acme").items] == [deletion.id]
    catalogue.documents.delete("acme", adapter.documents[0])
    catalogue.tenants.delete("acme")


def test_a_deletion_waits_for_the_training_that_it_cancels(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    _, job = an_adapter(catalogue, id="handbook")
    training = catalogue.leases.claim(job.id, JobKind.TRAIN, "worker", 60)
    assert training is not None
    deletion = catalogue.adapters.start_deletion("acme", "handbook")
    assert catalogue.leases.claim(deletion.id, JobKind.DELETE, "deleter", 60) is None
    assert catalogue.leases.heartbeat(training, 60) is True
    catalogue.leases.cancelled(training)
    assert catalogue.leases.claim(deletion.id, JobKind.DELETE, "deleter", 60) is not None


def test_a_deletion_cannot_be_cancelled_and_can_be_started_again_after_it_failed(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    an_adapter(catalogue, id="handbook")
    deletion = catalogue.adapters.start_deletion("acme", "handbook")
    assert catalogue.jobs.request_cancel("acme", deletion.id).state is JobState.QUEUED
    lease = catalogue.leases.claim(deletion.id, JobKind.DELETE, "deleter", 60)
    assert lease is not None
    catalogue.leases.fail(lease, "the store is gone")
    assert catalogue.adapters.start_deletion("acme", "handbook").id != deletion.id


# Nodes

REPORT = {"address": "host:1", "base_model": "base", "base_model_revision": "r", "slots": 8, "answers_at_once": 64}


def test_a_node_is_what_it_last_reported(catalogue: Catalogue) -> None:
    refs = [RevisionRef(tenant="acme", adapter=name, digest=name * 64) for name in "abc"]
    catalogue.nodes.report("engine-1", **REPORT, resident=refs[:2])
    [first] = catalogue.nodes.list()
    assert (first.id, first.address, first.slots, first.resident, first.draining) == ("engine-1", "host:1", 8, 2, False)
    catalogue.nodes.report("engine-1", **{**REPORT, "slots": 4}, resident=[refs[2], refs[0]])
    [second] = catalogue.nodes.list()
    assert catalogue.nodes.page().items == (second,)
    assert (second.slots, second.heartbeat_at >= first.heartbeat_at) == (4, True)
    assert catalogue.nodes.residents("engine-1") == (refs[2], refs[0])
    assert catalogue.nodes.holding(refs[0]) == ("engine-1",)
    assert catalogue.nodes.holding(refs[1]) == ()
    assert catalogue.nodes.residents_of("acme", "a") == (refs[0],)
    assert catalogue.nodes.residents_of("acme", "b") == catalogue.nodes.residents_of("rival", "a") == ()


def test_a_nodes_silence_is_measured_by_the_catalogues_clock(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = timedelta(hours=1)
    monkeypatch.setattr("storage.catalogue.nodes.now", lambda connection: now(connection) - behind)
    report = {**REPORT, "resident": []}
    catalogue.nodes.report("engine-1", **report)
    assert 0 <= catalogue.nodes.list()[0].silent_seconds < 60
    behind = timedelta(minutes=50)
    assert 600 <= catalogue.nodes.list()[0].silent_seconds < 660
    assert 600 <= catalogue.nodes.drain("engine-1", True).silent_seconds < 660


def test_a_draining_node_stays_draining_over_its_heartbeats(catalogue: Catalogue) -> None:
    report = {**REPORT, "resident": []}
    catalogue.nodes.report("engine-1", **report)
    assert catalogue.nodes.drain("engine-1", True).draining
    catalogue.nodes.report("engine-1", **report)
    assert catalogue.nodes.list()[0].draining
    assert not catalogue.nodes.drain("engine-1", False).draining


def test_nodes_that_have_long_been_silent_are_forgotten_with_what_they_held(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = RevisionRef(tenant="acme", adapter="a", digest="a" * 64)
    report = {**REPORT, "resident": [ref]}
    with monkeypatch.context() as earlier:
        earlier.setattr("storage.catalogue.nodes.now", lambda connection: now(connection) - timedelta(hours=1))
        catalogue.nodes.report("gone", **report)
    catalogue.nodes.report("there", **report)
    assert catalogue.nodes.forget(2 * 3600) == ()
    assert catalogue.nodes.forget(1800) == ("gone",)
    assert [node.id for node in catalogue.nodes.list()] == ["there"]
    assert catalogue.nodes.holding(ref) == ("there",)
    with pytest.raises(NodeMissing):
        catalogue.nodes.drain("gone", True)


def test_a_database_that_is_not_there_is_said_to_be_unavailable(tmp_path: object) -> None:
    for url in (f"sqlite:///{tmp_path}/no/folder/file.sqlite", "postgresql://nobody@127.0.0.1:9/none"):
        catalogue = Catalogue(url)
        with pytest.raises(CatalogueUnavailable):
            catalogue.migrate()
        with pytest.raises(CatalogueUnavailable):
            catalogue.tenants.get("acme")
        catalogue.close()


def test_a_postgresql_host_that_vanishes_is_not_waited_for_long(postgres_url: str) -> None:
    database = Database(postgres_url, kept_connections=1)
    with database.read() as connection:
        session = connection.connection.driver_connection
        assert isinstance(session, psycopg.Connection)
        parameters = session.info.get_parameters()
    database.close()
    names = ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
    assert [parameters.get(name) for name in names] == ["5", "5", "3", "15000"]


@pytest.mark.parametrize("kept", [None, 4])
def test_a_role_keeps_few_connections_of_those_that_it_had_at_once(postgres_url: str, kept: int | None) -> None:
    catalogue = Catalogue(postgres_url) if kept is None else Catalogue(postgres_url, kept)
    together = threading.Barrier(6)
    backends: set[int] = set()

    def read() -> None:
        with catalogue._database.read() as connection:
            backends.add(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
            together.wait(60)

    at_once([read] * 6)
    with closing(catalogue), psycopg.connect(postgres_url, autocommit=True) as observer:
        open_ones = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)"
        deadline = time.monotonic() + 60
        while observer.execute(open_ones, [list(backends)]).fetchone() != (kept or 2,):
            assert time.monotonic() < deadline, "connections that nobody needs are still open"
            time.sleep(0.02)


def at_once(calls: list[Callable[[], object]]) -> list[object]:
    """What each call returned or raised, all made at the same time."""
    start = threading.Barrier(len(calls))
    outcomes: list[object] = []

    def run(call: Callable[[], object]) -> None:
        start.wait()
        try:
            outcomes.append(call())
        except LiftError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_an_adapter_is_made_with_as_many_queries_whatever_the_number_of_its_documents(
    catalogue: Catalogue, statements_of: Callable[[Catalogue], AbstractContextManager[list[str]]]
) -> None:
    a_tenant(catalogue)
    ids = [a_document(catalogue, content=f"{number:02}").id for number in range(40)]
    counts = []
    for some in (ids[:1], ids):
        with statements_of(catalogue) as statements:
            made = catalogue.adapters.create("acme", id=None, title="", documents=some, base_model="base", options={})[
                0
            ]
        counts.append(len(statements))
        assert made.documents == tuple(some)
    assert counts[0] == counts[1]
    with pytest.raises(DocumentMissing) as missing:
        catalogue.adapters.create(
            "acme", id=None, title="", documents=[*ids, "doc-none", "doc-nil"], base_model="base", options={}
        )
    assert missing.value.facts == {"document": "doc-none"}


def test_an_adapter_of_more_text_than_a_trainer_can_send_is_refused(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    half, other, more = (
        a_document(catalogue, content=content, size_bytes=size).id
        for content, size in (("a", MAX_ADAPTER_BYTES // 2), ("b", MAX_ADAPTER_BYTES // 2), ("c", 1))
    )
    request: dict[str, Any] = {"id": None, "title": "", "base_model": "base", "options": {}}
    adapter, job = catalogue.adapters.create("acme", documents=[half, other], **request)
    catalogue.jobs.request_cancel("acme", job.id)
    for attempt in (
        lambda: catalogue.adapters.create("acme", documents=[half, other, more], **request),
        lambda: catalogue.adapters.retrain("acme", adapter.id, documents=[more, half, other]),
    ):
        with pytest.raises(InvalidOption) as refused:
            attempt()
        assert refused.value.facts["option"] == "documents"
        assert refused.value.facts["value"] == MAX_ADAPTER_BYTES + 1
    assert catalogue.adapters.get("acme", adapter.id).job == job.id


def test_more_documents_can_be_looked_up_than_a_query_takes_values(catalogue: Catalogue) -> None:
    a_tenant(catalogue)
    document = a_document(catalogue).id
    ids = [*(f"doc-{number}" for number in range(70_000)), document]
    with catalogue._database.read() as connection, pytest.raises(DocumentMissing, match="doc-0"):
        documents.require(connection, "acme", ids)
