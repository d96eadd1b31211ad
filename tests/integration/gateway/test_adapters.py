"""Adapters and operations over gRPC: made, watched, remade, rolled back, downloaded, deleted."""

import asyncio
import time

import grpc
import pytest
from google.longrunning import operations_pb2
from google.protobuf import duration_pb2
from google.rpc import code_pb2
from sqlalchemy import insert

from lift import errors, status
from lift.v1 import adapters_pb2 as pb
from lift.v1 import queries_pb2
from lift.values import JobKind, Quotas, Stage
from server.gateway.watches import POLL_SECONDS
from storage import keys, knowledge
from storage.catalogue import schema
from storage.knowledge import AskedPair, SentenceKnowledge
from storage.records import Progress, RevisionRef


def creation(document, adapter_id="tides", request_id="", **options):
    return pb.CreateAdapterRequest(
        adapter=pb.Adapter(title="Tides", documents=[f"documents/{document}"]),
        adapter_id=adapter_id,
        options=pb.TrainingOptions(**options),
        request_id=request_id,
    )


def training_of(operation):
    metadata = pb.TrainingMetadata()
    assert operation.metadata.Unpack(metadata)
    return metadata


async def test_creating_an_adapter_starts_a_training_and_wakes_a_trainer(gateway):
    client = gateway.tenant("acme")
    operation = await client.adapters.CreateAdapter(creation(gateway.document("acme"), epochs=3, strategy="grounded"))
    job = operation.name.removeprefix("operations/")
    assert not operation.done
    assert training_of(operation).adapter == "adapters/tides"
    assert training_of(operation).state == pb.TrainingMetadata.STATE_QUEUED
    assert gateway.wakeups.woken == [job]
    assert gateway.catalogue.jobs.get("acme", job).options == {"epochs": 3, "strategy": "grounded"}
    adapter = await client.adapters.GetAdapter(pb.GetAdapterRequest(name="adapters/tides"))
    assert (adapter.state, adapter.operation, adapter.title) == (pb.Adapter.STATE_TRAINING, operation.name, "Tides")


async def test_a_repeated_request_id_makes_one_adapter(gateway):
    client = gateway.tenant("acme")
    document = gateway.document("acme")
    first = await client.adapters.CreateAdapter(creation(document, adapter_id="", request_id="once"))
    again = await client.adapters.CreateAdapter(creation(document, adapter_id="", request_id="once"))
    assert again.name == first.name
    assert len((await client.adapters.ListAdapters(pb.ListAdaptersRequest())).adapters) == 1


BAD_OPTIONS = {
    "generation_profile": "haiku",
    "strategy": "guess",
    "pairs_per_sentence": 0,
    "custom_prompt": "x" * 20_001,
    "training_profile": "none such",
    "rank": 128,  # the engines of this gateway take 64
    "alpha": -1.0,
    "learning_rate": float("nan"),
    "epochs": 0,
    "batch_size": 4096,
    "seed": -1,
}


@pytest.mark.parametrize("option", BAD_OPTIONS)
async def test_an_option_that_no_trainer_takes_is_refused_at_once(gateway, refused, option):
    client = gateway.tenant("acme")
    request = creation(gateway.document("acme"), **{option: BAD_OPTIONS[option]})
    error = await refused(client.adapters.CreateAdapter(request))
    assert type(error) is errors.InvalidOption
    assert error.facts["option"] == option
    await nothing_is_made(gateway, client)


async def test_bad_adapters_are_refused_and_leave_nothing(gateway, refused):
    client = gateway.tenant("acme")
    document = gateway.document("acme")
    for request, kind in (
        (pb.CreateAdapterRequest(), errors.InvalidOption),
        (creation("nobody"), errors.DocumentMissing),
        (creation(document, adapter_id="No Good"), errors.MalformedName),
        (pb.CreateAdapterRequest(adapter=pb.Adapter(documents=[document])), errors.MalformedName),
        (pb.CreateAdapterRequest(adapter=pb.Adapter(documents=[f"documents/{document}"] * 2)), errors.InvalidOption),
    ):
        assert type(await refused(client.adapters.CreateAdapter(request))) is kind
    other = gateway.tenant("other")
    assert type(await refused(other.adapters.CreateAdapter(creation(document)))) is errors.DocumentMissing
    await nothing_is_made(gateway, client)


async def test_a_taken_id_and_a_used_up_quota_are_refused(gateway, refused):
    client = gateway.tenant("acme", Quotas(max_adapters=1))
    gateway.ready("acme", "tides")
    document = gateway.document("acme", "Another text.")
    assert type(await refused(client.adapters.CreateAdapter(creation(document)))) is errors.AdapterExists
    error = await refused(client.adapters.CreateAdapter(creation(document, adapter_id="more")))
    assert type(error) is errors.QuotaExceeded


async def test_a_finished_operation_responds_with_the_adapter(gateway):
    client = gateway.tenant("acme")
    job = gateway.training("acme", "tides")
    ref = gateway.publish(job)
    operation = await client.operations.GetOperation(operations_pb2.GetOperationRequest(name=f"operations/{job}"))
    adapter = pb.Adapter()
    assert operation.done
    assert operation.response.Unpack(adapter)
    assert adapter.current_revision == f"adapters/tides/revisions/{ref.digest}"
    assert training_of(operation).revision == adapter.current_revision
    listed = await client.operations.ListOperations(operations_pb2.ListOperationsRequest(name="operations"))
    assert list(listed.operations) == [operation]


async def test_a_failed_operation_says_why(gateway):
    client = gateway.tenant("acme")
    job = gateway.training("acme", "tides")
    gateway.catalogue.leases.fail(
        gateway.catalogue.leases.claim(job, JobKind.TRAIN, "trainer", 60), "no sentence found"
    )
    operation = await client.operations.GetOperation(operations_pb2.GetOperationRequest(name=f"operations/{job}"))
    error = status.from_proto(operation.error)
    assert type(error) is errors.JobFailed
    assert "no sentence found" in str(error)
    assert training_of(operation).reason == "no sentence found"


async def test_watching_shows_each_change_and_ends_with_the_job(gateway):
    client = gateway.tenant("acme")
    job = gateway.training("acme", "tides")
    watch = aiter(client.adapters.WatchOperation(pb.WatchOperationRequest(name=f"operations/{job}")))
    seen = [training_of((await anext(watch)).operation)]
    lease = gateway.catalogue.leases.claim(job, JobKind.TRAIN, "trainer", 60)
    seen.append(training_of((await anext(watch)).operation))
    gateway.catalogue.leases.heartbeat(
        lease, 60, Progress(stage=Stage.TRAIN, step=2, steps=9, loss=0.5, seconds={"train": 1.5})
    )
    seen.append(training_of((await anext(watch)).operation))
    gateway.catalogue.leases.fail(lease, "enough")
    last = [message.operation async for message in watch]
    assert [metadata.state for metadata in seen] == [
        pb.TrainingMetadata.STATE_QUEUED,
        pb.TrainingMetadata.STATE_RUNNING,
        pb.TrainingMetadata.STATE_RUNNING,
    ]
    assert (seen[2].stage, seen[2].step, seen[2].steps) == (pb.TrainingMetadata.STAGE_TRAIN, 2, 9)
    assert (seen[2].loss, seen[2].seconds.train) == (0.5, 1.5)
    assert [operation.done for operation in last] == [True]


async def test_all_who_watch_a_job_share_its_polls_and_what_they_find(gateway, eventually, monkeypatch):
    client = gateway.tenant("acme")
    job = gateway.training("acme", "tides")
    request = pb.WatchOperationRequest(name=f"operations/{job}")
    watches = [aiter(client.adapters.WatchOperation(request)) for _ in range(20)]
    for watch in watches:
        await anext(watch)
    reads = []
    read = gateway.catalogue.jobs.get
    monkeypatch.setattr(gateway.catalogue.jobs, "get", lambda *job: (reads.append(job), read(*job))[1])
    await eventually(lambda: len(reads) >= 3)
    began = time.monotonic()
    await eventually(lambda: len(reads) >= 8)
    assert time.monotonic() - began > 3 * POLL_SECONDS  # of five: how late the third was seen is not known
    gateway.catalogue.jobs.request_cancel("acme", job)
    for watch in watches[:-1]:
        assert [message.operation.done async for message in watch] == [True]


async def test_a_job_that_nobody_watches_any_more_is_polled_no_more(gateway, eventually):
    client = gateway.tenant("acme")
    job = gateway.training("acme", "tides")
    calls = await three_watches(client, job)
    await eventually(lambda: len(polls()) == 1)
    for call in calls:
        call.cancel()
    await eventually(lambda: not polls())


async def three_watches(client, job):
    """Calls that have each been told the job once."""
    request = pb.WatchOperationRequest(name=f"operations/{job}")
    watches = [client.adapters.WatchOperation(request) for _ in range(3)]
    for watch in watches:
        await anext(aiter(watch))
    return watches


def polls():
    """What polls in the gateway, which runs in the test's own loop."""
    return [task for task in asyncio.all_tasks() if task.get_coro().__qualname__ == "Watches._poll"]


async def test_an_error_reaches_all_who_watch(gateway, monkeypatch):
    client = gateway.tenant("acme")
    job = gateway.training("acme", "tides")
    watches = await three_watches(client, job)
    monkeypatch.setattr(gateway.catalogue.jobs, "get", unavailable)
    for watch in watches:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await anext(aiter(watch))
        assert type(status.from_call(failed.value)) is errors.CatalogueUnavailable


def unavailable(*job):
    raise errors.CatalogueUnavailable()


async def test_a_tenant_may_watch_only_so_many_at_once(gateway, refused, monkeypatch):
    monkeypatch.setattr("server.gateway.watches.MAX_WATCHES", 2)
    client, other = gateway.tenant("acme"), gateway.tenant("other")
    job, theirs = gateway.training("acme", "tides"), gateway.training("other", "tides")
    request = pb.WatchOperationRequest(name=f"operations/{job}")
    watches = [client.adapters.WatchOperation(request) for _ in range(2)]
    for watch in watches:
        await anext(aiter(watch))
    assert type(await refused(client.adapters.WatchOperation(request))) is errors.QuotaExceeded
    waiting = operations_pb2.WaitOperationRequest(name=f"operations/{job}", timeout=duration_pb2.Duration(nanos=1))
    assert type(await refused(client.operations.WaitOperation(waiting))) is errors.QuotaExceeded
    await anext(aiter(other.adapters.WatchOperation(pb.WatchOperationRequest(name=f"operations/{theirs}"))))
    watches[0].cancel()
    async with asyncio.timeout(60):
        while await is_refused(client.operations.WaitOperation(waiting)):
            pass


async def is_refused(call):
    return await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_waiting_returns_at_the_end_or_at_the_timeout(gateway):
    client = gateway.tenant("acme")
    job = gateway.training("acme", "tides")
    request = operations_pb2.WaitOperationRequest(name=f"operations/{job}", timeout=duration_pb2.Duration(nanos=1))
    assert not (await client.operations.WaitOperation(request)).done
    request.timeout.FromSeconds(60)
    waiting = asyncio.ensure_future(client.operations.WaitOperation(request))
    gateway.publish(job)
    assert (await waiting).done


async def test_a_cancelled_operation_ends_as_cancelled(gateway):
    client = gateway.tenant("acme")
    name = f"operations/{gateway.training('acme', 'tides')}"
    await client.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=name))
    operation = await client.operations.GetOperation(operations_pb2.GetOperationRequest(name=name))
    assert operation.error.code == code_pb2.CANCELLED
    adapter = await client.adapters.GetAdapter(pb.GetAdapterRequest(name="adapters/tides"))
    assert adapter.state == pb.Adapter.STATE_FAILED


async def test_an_operation_can_be_forgotten_once_it_has_ended(gateway, refused):
    client = gateway.tenant("acme")
    job = gateway.training("acme", "tides")
    request = operations_pb2.DeleteOperationRequest(name=f"operations/{job}")
    assert type(await refused(client.operations.DeleteOperation(request))) is errors.JobActive
    gateway.publish(job)
    await client.operations.DeleteOperation(request)
    error = await refused(client.operations.GetOperation(operations_pb2.GetOperationRequest(name=request.name)))
    assert type(error) is errors.JobMissing


async def test_bad_operations_are_refused(gateway, refused):
    client = gateway.tenant("acme")
    ops = client.operations
    for call, kind in (
        (ops.GetOperation(operations_pb2.GetOperationRequest(name="operations/none")), errors.JobMissing),
        (ops.GetOperation(operations_pb2.GetOperationRequest(name="jobs/none")), errors.MalformedName),
        (ops.ListOperations(operations_pb2.ListOperationsRequest(filter="done")), errors.InvalidOption),
        (ops.CancelOperation(operations_pb2.CancelOperationRequest(name="operations/none")), errors.JobMissing),
        (ops.DeleteOperation(operations_pb2.DeleteOperationRequest(name="operations/none")), errors.JobMissing),
        (ops.WaitOperation(operations_pb2.WaitOperationRequest(name="operations/none")), errors.JobMissing),
        (client.adapters.WatchOperation(pb.WatchOperationRequest(name="operations/none")), errors.JobMissing),
    ):
        assert type(await refused(call)) is kind


async def test_retraining_makes_a_new_operation_while_the_old_revision_serves(gateway, refused):
    client = gateway.tenant("acme")
    gateway.ready("acme", "tides")
    request = pb.RetrainAdapterRequest(name="adapters/tides", options=pb.TrainingOptions(epochs=2))
    operation = await client.adapters.RetrainAdapter(request)
    assert gateway.wakeups.woken == [operation.name.removeprefix("operations/")]
    await client.queries.Query(queries_pb2.QueryRequest(adapter="adapters/tides", question="When?"))
    error = await refused(client.adapters.RetrainAdapter(request))
    assert type(error) is errors.JobActive
    assert f"operations/{error.facts['job']}" == operation.name


async def test_retraining_resumes_a_job_that_was_cancelled(gateway):
    client = gateway.tenant("acme")
    name = f"operations/{gateway.training('acme', 'tides')}"
    await client.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=name))
    assert (await client.adapters.RetrainAdapter(pb.RetrainAdapterRequest(name="adapters/tides"))).name == name


async def test_bad_retrainings_are_refused(gateway, refused):
    client = gateway.tenant("acme")
    gateway.ready("acme", "tides")
    for request, kind in (
        (pb.RetrainAdapterRequest(name="adapters/none"), errors.AdapterMissing),
        (pb.RetrainAdapterRequest(name="none"), errors.MalformedName),
        (pb.RetrainAdapterRequest(name="adapters/tides", documents=["documents/none"]), errors.DocumentMissing),
        (pb.RetrainAdapterRequest(name="adapters/tides", options=pb.TrainingOptions(rank=7)), errors.InvalidOption),
    ):
        assert type(await refused(client.adapters.RetrainAdapter(request))) is kind


async def test_an_earlier_revision_can_be_made_current_again(gateway, refused):
    client = gateway.tenant("acme")
    gateway.ready("acme", "tides", digest="a" * 64)
    gateway.publish(gateway.catalogue.adapters.retrain("acme", "tides").id, digest="b" * 64)
    revisions = await client.adapters.ListRevisions(pb.ListRevisionsRequest(parent="adapters/tides"))
    assert [revision.digest[0] for revision in revisions.revisions] == ["b", "a"]
    request = pb.RollbackAdapterRequest(name="adapters/tides", revision=revisions.revisions[1].name)
    assert (await client.adapters.RollbackAdapter(request)).current_revision == revisions.revisions[1].name
    for revision, kind in (
        ("adapters/tides/revisions/none", errors.RevisionMissing),
        ("adapters/other/revisions/none", errors.InvalidOption),
        ("none", errors.MalformedName),
    ):
        request = pb.RollbackAdapterRequest(name="adapters/tides", revision=revision)
        assert type(await refused(client.adapters.RollbackAdapter(request))) is kind


async def test_a_revision_says_what_it_knows_sentence_by_sentence(gateway, refused):
    client = gateway.tenant("acme")
    ref = gateway.ready("acme", "tides")
    asked = AskedPair(question="What rings?", answer="the bell", held_out=True, known=False)
    written = [
        SentenceKnowledge(document="doc-1", start=0, end=9, text=f"Bell {n}.", pairs=(asked,) if n == 1 else ())
        for n in range(3)
    ]
    knowledge.write(gateway.objects, ref, written)
    for parent in ("adapters/tides", f"adapters/tides/revisions/{ref.digest}"):
        request = pb.ListSentencesRequest(parent=parent, page_size=2)
        first = await client.adapters.ListSentences(request)
        request.page_token = first.next_page_token
        rest = await client.adapters.ListSentences(request)
        texts = [sentence.text for page in (first, rest) for sentence in page.sentences]
        assert (texts, rest.next_page_token) == (["Bell 0.", "Bell 1.", "Bell 2."], "")
        pair = first.sentences[1].pairs[0]
        assert (pair.question, pair.held_out, pair.HasField("known"), pair.known) == ("What rings?", True, True, False)
    gateway.training("acme", "fresh", text="Other text.")
    for request, kind in (
        (pb.ListSentencesRequest(parent="adapters/none"), errors.AdapterMissing),
        (pb.ListSentencesRequest(parent="adapters/fresh"), errors.AdapterTraining),
        (pb.ListSentencesRequest(parent="adapters/tides/revisions/none"), errors.RevisionMissing),
        (pb.ListSentencesRequest(parent="adapters/tides", page_token="x"), errors.MalformedPageToken),
        (pb.ListSentencesRequest(parent="adapters/tides", page_size=-1), errors.InvalidOption),
    ):
        assert type(await refused(client.adapters.ListSentences(request))) is kind
    stranger = gateway.tenant("wile")
    request = pb.ListSentencesRequest(parent="adapters/tides")
    assert type(await refused(stranger.adapters.ListSentences(request))) is errors.AdapterMissing


async def test_a_revision_of_old_has_no_sentences_to_show(gateway):
    client = gateway.tenant("acme")
    gateway.ready("acme", "tides")
    assert not (await client.adapters.ListSentences(pb.ListSentencesRequest(parent="adapters/tides"))).sentences


async def test_a_revision_downloads_file_by_file(gateway, refused):
    client = gateway.tenant("acme")
    files = ("adapter_config.json", "adapter_model.safetensors", "manifest.json")
    ref = gateway.publish(gateway.training("acme", "tides"), files=files)
    for name in ("adapters/tides", f"adapters/tides/revisions/{ref.digest}"):
        stored: dict[str, bytes] = {}
        async for piece in client.adapters.DownloadRevision(pb.DownloadRevisionRequest(name=name)):
            stored[piece.file_name] = stored.get(piece.file_name, b"") + piece.chunk
            assert piece.file_size_bytes == 3 * len(piece.file_name)
        assert stored == {file: file.encode() * 3 for file in files}
    gateway.training("acme", "fresh", text="Other text.")
    for name, kind in (
        ("adapters/none", errors.AdapterMissing),
        ("adapters/fresh", errors.AdapterTraining),
        ("adapters/tides/revisions/none", errors.RevisionMissing),
        ("tides", errors.MalformedName),
    ):
        assert type(await refused(client.adapters.DownloadRevision(pb.DownloadRevisionRequest(name=name)))) is kind


async def test_a_deleted_adapter_is_out_of_every_engine_and_out_of_the_store(running, eventually):
    async with running(engines=2) as gateway:
        client = gateway.tenant("acme")
        ref = gateway.ready("acme", "tides")
        gateway.objects.put("acme/journals/" + gateway.catalogue.adapters.get("acme", "tides").job + "/1", b"{}")
        await client.queries.Query(queries_pb2.QueryRequest(adapter="adapters/tides", question="When?"))
        operation = await client.adapters.DeleteAdapter(pb.DeleteAdapterRequest(name="adapters/tides"))
        wait = operations_pb2.WaitOperationRequest(name=operation.name, timeout=duration_pb2.Duration(seconds=60))
        done = await client.operations.WaitOperation(wait)
        assert done.done
        assert done.WhichOneof("result") == "response"
        assert all(engine.unloads == [ref.digest] for engine in gateway.engines)
        assert [key for key in gateway.objects.list("acme/") if "/documents/" not in key] == []


async def test_a_deleted_adapter_takes_along_what_its_training_loaded_and_did_not_publish(gateway, eventually):
    client = gateway.tenant("acme")
    lease = gateway.catalogue.leases.claim(gateway.training("acme", "tides"), JobKind.TRAIN, "trainer", 60)
    stored, reported = (RevisionRef(tenant="acme", adapter="tides", digest=digest * 64) for digest in "ab")
    gateway.objects.put(keys.revision(stored, "manifest.json"), b"{}")
    gateway.report(resident=[reported, RevisionRef(tenant="acme", adapter="tides-2", digest="c" * 64)])
    await client.adapters.DeleteAdapter(pb.DeleteAdapterRequest(name="adapters/tides"))
    gateway.catalogue.leases.cancelled(lease)
    await eventually(lambda: not gateway.catalogue.adapters.list("acme").items)
    assert sorted(gateway.engine.unloads) == [stored.digest, reported.digest]


async def test_a_deletion_that_takes_long_holds_up_no_other(gateway, eventually):
    acme, rival = gateway.tenant("acme"), gateway.tenant("rival")
    slow, quick = gateway.ready("acme", "tides", "a" * 64), gateway.ready("rival", "tides", "b" * 64)
    gateway.engine.drains = {slow.digest}
    await acme.adapters.DeleteAdapter(pb.DeleteAdapterRequest(name="adapters/tides"))
    await rival.adapters.DeleteAdapter(pb.DeleteAdapterRequest(name="adapters/tides"))
    await eventually(lambda: not gateway.catalogue.adapters.list("rival").items)
    assert gateway.engine.unloads == [quick.digest]
    assert gateway.catalogue.adapters.list("acme").items
    gateway.engine.drained.set()
    await eventually(lambda: not gateway.catalogue.adapters.list("acme").items)


async def test_a_deletion_that_breaks_harms_no_other(gateway, eventually, monkeypatch):
    finish = gateway.catalogue.adapters.finish_deletion

    def broken(lease):
        if lease.job.adapter == "broken":
            raise RuntimeError
        finish(lease)

    monkeypatch.setattr(gateway.catalogue.adapters, "finish_deletion", broken)
    client = gateway.tenant("acme")
    for number, adapter in enumerate(("broken", "tides")):
        gateway.ready("acme", adapter, str(number) * 64, text=f"{adapter}.")
        await client.adapters.DeleteAdapter(pb.DeleteAdapterRequest(name=f"adapters/{adapter}"))
    await eventually(lambda: [adapter.id for adapter in gateway.catalogue.adapters.list("acme").items] == ["broken"])


async def test_a_deletion_waits_for_an_engine_that_does_not_let_go(gateway, refused, eventually):
    client = gateway.tenant("acme")
    gateway.ready("acme", "tides")
    gateway.engine.fails = errors.EngineUnavailable()
    operation = await client.adapters.DeleteAdapter(pb.DeleteAdapterRequest(name="adapters/tides"))
    job = operation.name.removeprefix("operations/")
    await eventually(lambda: gateway.catalogue.jobs.get("acme", job).reason != "")
    assert list(gateway.objects.list("acme/adapters/tides/")) != []
    error = await refused(client.queries.Query(queries_pb2.QueryRequest(adapter="adapters/tides", question="When?")))
    assert type(error) is errors.AdapterDeleting
    gateway.engine.fails = None
    await eventually(lambda: not gateway.catalogue.adapters.list("acme").items)


async def test_another_tenants_things_are_exactly_like_things_that_are_not_there(gateway, eventually):
    acme, other = gateway.tenant("acme"), gateway.tenant("other")
    job = gateway.training("acme", "tides")
    digest = gateway.publish(job).digest

    async def failures(client):
        revision = f"adapters/tides/revisions/{digest}"
        operation = f"operations/{job}"
        seen = []
        for call in (
            client.adapters.GetAdapter(pb.GetAdapterRequest(name="adapters/tides")),
            client.adapters.RetrainAdapter(pb.RetrainAdapterRequest(name="adapters/tides")),
            client.adapters.ListRevisions(pb.ListRevisionsRequest(parent="adapters/tides")),
            client.adapters.RollbackAdapter(pb.RollbackAdapterRequest(name="adapters/tides", revision=revision)),
            client.adapters.DeleteAdapter(pb.DeleteAdapterRequest(name="adapters/tides")),
            client.adapters.DownloadRevision(pb.DownloadRevisionRequest(name=revision)),
            client.adapters.WatchOperation(pb.WatchOperationRequest(name=operation)),
            client.operations.GetOperation(operations_pb2.GetOperationRequest(name=operation)),
            client.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=operation)),
            client.operations.WaitOperation(operations_pb2.WaitOperationRequest(name=operation)),
            client.operations.DeleteOperation(operations_pb2.DeleteOperationRequest(name=operation)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await (anext(aiter(call)) if hasattr(call, "__aiter__") else call)
            details = dict(failed.value.trailing_metadata())["grpc-status-details-bin"]
            seen.append((failed.value.code(), failed.value.details(), details))
        return seen

    as_other = await failures(other)
    assert (await other.adapters.ListAdapters(pb.ListAdaptersRequest())).adapters == []
    assert (await other.operations.ListOperations(operations_pb2.ListOperationsRequest())).operations == []
    await acme.adapters.DeleteAdapter(pb.DeleteAdapterRequest(name="adapters/tides"))
    await eventually(lambda: not gateway.catalogue.adapters.list("acme").items)
    assert await failures(acme) == as_other


async def nothing_is_made(gateway, client):
    assert not (await client.adapters.ListAdapters(pb.ListAdaptersRequest())).adapters
    assert not (await client.operations.ListOperations(operations_pb2.ListOperationsRequest())).operations
    assert gateway.wakeups.woken == []


def with_many_documents(gateway, adapters):
    """Adapters that can be asked, in all more than a client takes in one message."""
    document = gateway.catalogue.documents.get("acme", gateway.document("acme"))
    row = {name: getattr(document, name) for name in ("tenant", "title", "media_type", "size_bytes", "created_at")}
    ids = [f"{number:0>120}" for number in range(1000)]
    with gateway.catalogue._database.write() as connection:
        connection.execute(insert(schema.documents), [{**row, "id": id_, "sha256": id_} for id_ in ids])
    made = [f"tides-{number}" for number in range(adapters)]
    for adapter in made:
        _, job = gateway.catalogue.adapters.create(
            "acme", id=adapter, title="", documents=ids, base_model="tiny", options={}
        )
        gateway.publish(job.id)
    return made


async def test_a_page_ends_where_a_message_would_be_too_large_for_a_client(gateway):
    client = gateway.tenant("acme")
    made = with_many_documents(gateway, 36)
    found, token = [], ""
    while not found or token:
        page = await client.adapters.ListAdapters(pb.ListAdaptersRequest(page_token=token))
        assert page.ByteSize() <= 2.1 * 2**20
        found, token = found + [adapter.name for adapter in page.adapters], page.next_page_token
    assert found == [f"adapters/{adapter}" for adapter in reversed(made)]
    found, token = [], ""
    while not found or token:
        listing = operations_pb2.ListOperationsRequest(page_token=token)
        operations = await client.operations.ListOperations(listing)
        assert operations.ByteSize() <= 2.1 * 2**20
        found += [training_of(operation).adapter for operation in operations.operations]
        token = operations.next_page_token
    assert found == [f"adapters/{adapter}" for adapter in reversed(made)]
