"""Both flavours of the client, by one suite, against a real gateway."""

import asyncio
import inspect
import json
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from lift import AdminClient, AsyncClient, Client, errors, values
from lift.client import connection, documents
from lift.client.connection import ClientFile, operator_connection, tenant_connection


class Blocking:
    """An AsyncClient, or a part of one, called as if it were a Client."""

    def __init__(self, target: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._target, self._loop = target, loop

    def __getattr__(self, name: str) -> Any:
        return self._wrapped(getattr(self._target, name))

    def __iter__(self) -> Iterator[Any]:
        iterator = aiter(self._target)
        while (item := self._run(anext(iterator, None))) is not None:
            yield item

    def _wrapped(self, value: Any) -> Any:
        if inspect.isawaitable(value):
            return self._run(value)
        if callable(value):
            return lambda *args, **kwargs: self._wrapped(value(*args, **kwargs))
        is_part = type(value).__module__.startswith("lift.client") or isinstance(value, AsyncIterator)
        return Blocking(value, self._loop) if is_part else value

    def _run(self, awaitable: Any) -> Any:
        async def waited() -> Any:
            return await awaitable

        return self._loop.run_until_complete(waited())


@pytest.fixture(params=["Client", "AsyncClient"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], Any]]:
    """connect(address, key): a client of either flavour."""
    opened: list[Any] = []
    loop = asyncio.new_event_loop()

    def open_client(address: str, key: str) -> Any:
        async def made() -> AsyncClient:
            return AsyncClient(address, key)

        is_async = request.param == "AsyncClient"
        opened.append(Blocking(loop.run_until_complete(made()), loop) if is_async else Client(address, key))
        return opened[-1]

    yield open_client
    for client in opened:
        client.close()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture
def client(connect, gateway) -> Any:
    return connect(gateway.address, gateway.key)


@pytest.fixture
def ready(client, gateway) -> str:
    """An adapter that can be asked."""
    begun = client.ingest("The tide bell rings.", title="Tides", wait=False)
    gateway.train(begun.job.id)
    return begun.adapter


def test_a_document_comes_back_as_a_value(client):
    made = client.documents.create("The tide bell rings.", title="Tides", media_type="text/markdown")
    assert made == client.documents.get(made.id)
    assert (made.title, made.media_type, made.size_bytes) == ("Tides", "text/markdown", 20)
    assert made.created_at.tzinfo is not None
    client.documents.delete(made.id)
    with pytest.raises(errors.DocumentMissing):
        client.documents.get(made.id)


def test_a_file_of_several_chunks_is_uploaded_under_its_own_name_and_type(client, gateway, tmp_path):
    file = tmp_path / "Long tale.md"
    file.write_text("A tide bell rings. " * 150_000)
    made = client.documents.upload(file)
    assert (made.title, made.media_type, made.size_bytes) == ("Long tale", "text/markdown", file.stat().st_size)
    assert b"".join(gateway.objects.get(key) for key in gateway.objects.list("")) == file.read_bytes()


@pytest.mark.parametrize("as_file", [True, False])
def test_of_what_is_uploaded_the_server_takes_all_or_nothing(client, gateway, tmp_path, monkeypatch, as_file):
    file = tmp_path / "tale.txt"
    file.write_text("A tide bell rings.")
    monkeypatch.setattr(documents, "_chunks", lambda _: iter([b"A tide"]))
    with pytest.raises(errors.InvalidOption, match="size_bytes"):
        client.documents.upload(file if as_file else file.read_text())
    assert not list(gateway.objects.list(""))


def test_a_file_of_a_type_that_nobody_reads_is_refused_by_the_server(client, tmp_path):
    file = tmp_path / "tale.pdf"
    file.write_bytes(b"%PDF-1.7")
    with pytest.raises(errors.MediaTypeUnknown, match="application/pdf"):
        client.documents.upload(file)


def test_a_file_that_is_not_there_is_said_before_anything_is_sent(client):
    with pytest.raises(FileNotFoundError):
        client.documents.upload(Path("/nowhere/tale.txt"))


def test_a_listing_goes_over_all_its_pages(client):
    made = [client.documents.create(f"Tide bell {number}.", title=str(number)).id for number in range(120)]
    assert [document.id for document in client.documents.list()] == list(reversed(made))


def test_an_error_of_the_server_is_raised_as_itself_with_its_facts(client):
    first = client.documents.create("The tide bell rings.", title="Tides")
    with pytest.raises(errors.DocumentExists) as refused:
        client.documents.create("The tide bell rings.", title="Other")
    assert refused.value.facts["document"] == first.id


def test_a_wrong_key_is_refused(connect, gateway):
    with pytest.raises(errors.CredentialWrong):
        connect(gateway.address, "lift_wrong").documents.get("doc-1")


def test_ingesting_makes_an_adapter_that_answers(client, gateway, ready):
    adapter = client.adapters.get(ready)
    assert (adapter.state, adapter.revision, adapter.title) == (values.AdapterState.READY, "d" * 64, "Tides")
    answer = client.query(ready, "What rings?", max_tokens=5, temperature=0.5, stop=["!"])
    assert (answer.text, answer.adapter, answer.revision) == ("The tide bell.", ready, "d" * 64)
    assert (answer.finish_reason, answer.usage.prompt_tokens) == (values.FinishReason.LENGTH, 7)
    asked = gateway.engine.asked[-1]
    assert (asked.max_tokens, asked.temperature, list(asked.stop)) == (5, 0.5, ["!"])


def test_ingesting_waits_until_the_adapter_can_be_asked(client, gateway):
    def trainer() -> None:
        while not (due := gateway.catalogue.leases.due(gateway_kind, 1, 0)):
            time.sleep(0.02)
        gateway.train(due[0])

    from lift.values import JobKind

    gateway_kind = JobKind.TRAIN
    training = threading.Thread(target=trainer)
    training.start()
    done = client.ingest(["The tide bell rings.", b"The pier is long."], title="Tides", adapter="tides")
    training.join()
    assert (done.adapter, len(done.documents)) == ("tides", 2)
    assert (done.job.state, done.job.revision, done.job.progress.pairs) == (values.JobState.SUCCEEDED, "d" * 64, 8)
    assert done.job.progress.seconds.total == 2.0


def test_ingesting_what_is_there_uses_it_and_retrains_the_adapter(client, gateway):
    first = client.ingest("The tide bell rings.", adapter="tides", wait=False)
    gateway.train(first.job.id)
    again = client.ingest(["The tide bell rings.", "The pier is long."], adapter="tides", wait=False)
    assert again.documents[0] == first.documents[0]
    assert again.job.id != first.job.id
    gateway.train(again.job.id, "e" * 64)
    assert client.adapters.get("tides").documents == tuple(document.id for document in again.documents)


def test_ingesting_nothing_is_refused(client):
    with pytest.raises(errors.InvalidOption):
        client.ingest([])


def test_an_answer_streams_and_ends_with_its_facts(client, ready):
    stream = client.stream(ready, "What rings?")
    assert list(stream) == ["The ", "tide ", "bell."]
    assert stream.answer().text == "The tide bell."
    assert client.stream(ready, "What rings?").answer().usage.completion_tokens == 3


def test_a_conversation_and_the_base_model_can_be_asked(client, gateway):
    turns = [values.Turn(role="system", content="Be brief."), values.Turn(role="user", content="What rings?")]
    answer = client.query(None, turns)
    assert (answer.adapter, answer.revision) == (None, None)
    assert [turn.role for turn in gateway.engine.asked[-1].turns] == ["system", "user"]


def test_an_adapter_in_training_cannot_be_asked(client):
    begun = client.ingest("The tide bell rings.", wait=False)
    with pytest.raises(errors.AdapterTraining, match=begun.job.id):
        client.stream(begun.adapter, "What rings?").answer()


def test_a_job_is_watched_until_it_has_ended(client, gateway):
    begun = client.ingest("The tide bell rings.", wait=False)
    states = iter(client.jobs.watch(begun.job.id))
    assert next(states).state is values.JobState.QUEUED
    gateway.train(begun.job.id)
    seen = list(states)
    assert (seen[-1].state, seen[-1].progress.stage) == (values.JobState.SUCCEEDED, values.Stage.LOAD)


def test_waiting_for_a_job_that_fails_raises_its_reason(client, gateway):
    begun = client.ingest("The tide bell rings.", wait=False)
    gateway.catalogue.leases.fail(gateway.claim(begun.job.id), "no question could be written")
    with pytest.raises(errors.JobFailed, match="no question could be written"):
        client.jobs.wait(begun.job.id)


def test_waiting_has_a_limit(client):
    begun = client.ingest("The tide bell rings.", wait=False)
    with pytest.raises(errors.TimedOut):
        client.jobs.wait(begun.job.id, timeout_seconds=0.3)


def test_a_cancelled_job_is_resumed_by_a_retry(client, gateway):
    begun = client.ingest("The tide bell rings.", wait=False)
    client.jobs.cancel(begun.job.id)
    with pytest.raises(errors.JobCancelled):
        client.jobs.wait(begun.job.id)
    assert client.jobs.retry(begun.job.id).id == begun.job.id
    gateway.train(begun.job.id)
    with pytest.raises(errors.JobEnded):
        client.jobs.retry(begun.job.id)
    assert [job.id for job in client.jobs.list()] == [begun.job.id]
    client.jobs.delete(begun.job.id)
    assert list(client.jobs.list()) == []


def test_a_retry_of_a_job_with_a_newer_one_behind_it_trains_nothing(client):
    begun = client.ingest("The tide bell rings.", wait=False)
    client.jobs.cancel(begun.job.id)
    with pytest.raises(errors.JobCancelled):
        client.jobs.wait(begun.job.id)
    newer = client.adapters.retrain(begun.adapter, options=values.TrainingOptions(epochs=3))
    client.jobs.cancel(newer.id)
    with pytest.raises(errors.JobEnded) as refused:
        client.jobs.retry(begun.job.id)
    assert refused.value.facts["newer"] == newer.id
    assert client.jobs.get(newer.id).state is values.JobState.CANCELLED


def test_a_revision_says_what_it_knows(client, ready):
    revision = next(iter(client.adapters.revisions(ready)))
    assert (revision.recall, revision.coverage, revision.retention) == (0.75, 0.5, None)
    assert revision.losses == (2.5, 0.25)
    sentences = list(client.adapters.sentences(ready))
    assert [sentence.known for sentence in sentences] == [True, False]
    assert sentences[0].pairs == (values.AskedPair(question="What?", answer="It", held_out=False, known=True),)
    assert list(client.adapters.sentences(ready, revision="d" * 64)) == sentences
    with pytest.raises(errors.RevisionMissing):
        list(client.adapters.sentences(ready, revision="e" * 64))


def test_an_answer_names_the_sentences_behind_it(client, ready):
    assert [found.text for found in client.query(ready, "What is It?", max_evidence=1).evidence] == ["It."]
    stream = client.stream(ready, "What is It?", max_evidence=5)
    assert list(stream)
    assert len(stream.answer().evidence) == 2
    assert client.query(ready, "What is It?").evidence == ()


def test_an_adapter_is_retrained_rolled_back_and_deleted(client, gateway, ready):
    gateway.train(client.adapters.retrain(ready, options=values.TrainingOptions(rank=16)).id, "e" * 64)
    assert [revision.digest for revision in client.adapters.revisions(ready)] == ["e" * 64, "d" * 64]
    assert client.adapters.rollback(ready, "d" * 64).revision == "d" * 64
    assert [adapter.id for adapter in client.adapters.list()] == [ready]
    deletion = client.adapters.delete(ready)
    assert (deletion.kind, deletion.adapter) == (values.JobKind.DELETE, ready)
    assert client.jobs.wait(deletion.id, timeout_seconds=60).state is values.JobState.SUCCEEDED


def test_a_revision_is_downloaded_file_by_file(client, ready, tmp_path):
    files = client.adapters.download(ready, tmp_path / "peft")
    assert {file.name for file in files} == {path.name for path in (tmp_path / "peft").iterdir()}
    for file in files:
        assert file.read_bytes() == file.name.encode() * 100_000


def test_a_gateway_that_is_not_there_is_named(connect):
    with pytest.raises(errors.GatewayUnavailable, match=r"127\.0\.0\.1:1"):
        connect("127.0.0.1:1", "key").documents.get("doc-1")


def test_a_watch_goes_on_where_the_gateway_was_restarted(connect, sqlite_url, gateway_again):
    with gateway_again(sqlite_url) as first:
        port = first.ports.tenants
        client = connect(first.address, first.key)
        begun = client.ingest("The tide bell rings.", wait=False)
        states = iter(client.jobs.watch(begun.job.id))
        assert next(states).state is values.JobState.QUEUED
    with gateway_again(sqlite_url, port) as second:
        second.train(begun.job.id)
        assert list(states)[-1].state is values.JobState.SUCCEEDED


def test_what_may_be_sent_twice_is_sent_again_until_the_gateway_is_there(
    connect, sqlite_url, gateway_again, monkeypatch
):
    slower = {"initialBackoff": "1s", "maxBackoff": "10s", "backoffMultiplier": 3}
    for name, pause in slower.items():  # so that it is there in time also where all takes long
        monkeypatch.setitem(connection.RETRY, name, pause)
    with gateway_again(sqlite_url) as first:
        port, key = first.ports.tenants, first.key
    opening = threading.Event()

    def reopen() -> None:
        with gateway_again(sqlite_url, port):
            opening.wait(120)

    client = connect(f"127.0.0.1:{port}", key)
    late = threading.Timer(0.3, reopen)
    late.start()
    try:
        assert list(client.documents.list()) == []
    finally:
        opening.set()
        late.join()


def test_a_key_of_the_client_file_is_shown_to_its_own_gateway_only(gateway, state):
    gateway.leave_client_file(state)
    assert tenant_connection(None, None, state.path).key == gateway.key
    assert tenant_connection(gateway.address, None, state.path).key == gateway.key
    with pytest.raises(errors.CredentialMissing, match="LIFT_KEY"):
        tenant_connection("elsewhere.example:443", None, state.path)
    with pytest.raises(errors.CredentialMissing, match="LIFT_OPERATOR_KEY"):
        operator_connection("elsewhere.example:443", None, state.path)


def test_arguments_go_before_the_environment_and_the_environment_before_the_file(gateway, state, monkeypatch):
    gateway.leave_client_file(state)
    monkeypatch.setenv("LIFT_ADDRESS", "from.environment:1")
    monkeypatch.setenv("LIFT_KEY", "key of the environment")
    found = tenant_connection(None, None, state.path)
    assert (found.address, found.key) == ("from.environment:1", "key of the environment")
    assert tenant_connection("from.argument:1", None, state.path).address == "from.argument:1"


def test_white_space_around_a_key_is_none_of_it_and_what_no_key_can_be_is_said(state, monkeypatch):
    monkeypatch.setenv("LIFT_KEY", "key\r\n")
    assert tenant_connection("a:1", None, state.path).key == "key"
    for wrong in ("k\ney", "kéy"):
        with pytest.raises(errors.CredentialWrong):
            tenant_connection("a:1", wrong, state.path)


def test_without_any_address_the_error_says_what_is_needed(state):
    with pytest.raises(errors.GatewayUnavailable, match=r"LIFT_ADDRESS.*lift up"):
        Client(state_dir=state.path)
    with pytest.raises(errors.GatewayUnavailable, match=r"LIFT_ADMIN_ADDRESS.*lift up"):
        AdminClient(state_dir=state.path)


def test_an_operator_makes_tenants_and_keys(gateway):
    with AdminClient(gateway.admin_address, "operator-key") as admin:
        tenant = admin.tenants.create("theirs", title="Theirs", quotas=values.Quotas(max_documents=1))
        assert admin.tenants.get("theirs") == tenant
        assert {"mine", "theirs"} == {tenant.id for tenant in admin.tenants.list()}
        made = admin.keys.create("theirs", title="laptop")
        with Client(gateway.address, made.secret) as client:
            client.documents.create("One.", title="")
            with pytest.raises(errors.QuotaExceeded):
                client.documents.create("Two.", title="")
            with pytest.raises(errors.TenantInUse):
                admin.tenants.delete("theirs")
            admin.keys.revoke("theirs", made.key.id)
            with pytest.raises(errors.CredentialWrong):
                next(client.documents.list())
        assert next(admin.keys.list("theirs")).revoked_at is not None
        assert admin.tenants.update("theirs", title="New", quotas=values.Quotas()).title == "New"
        assert [(node.id, node.draining) for node in admin.nodes.list()] == [("engine-1", False)]
        assert admin.nodes.drain("engine-1").draining
        assert not admin.nodes.drain("engine-1", False).draining


def test_an_operator_pages_through_the_jobs_of_all_tenants(gateway):
    document = gateway.catalogue.documents.create(
        "mine", title="", media_type="text/plain", sha256="a" * 64, size_bytes=1, put=lambda _: None
    )
    adapter = {"title": "", "documents": [document.id], "base_model": "tiny", "options": {}}
    made = [gateway.catalogue.adapters.create("mine", id=None, **adapter)[1].id for _ in range(51)]
    with AdminClient(gateway.admin_address, "operator-key") as admin:
        assert [job.id for job in admin.jobs.list()] == made
        assert [job.id for job in admin.jobs.list([values.JobState.QUEUED], newest_first=True)] == made[::-1]
        cancelled = admin.jobs.cancel("mine", made[0])
        assert (cancelled.tenant, cancelled.id, cancelled.state) == ("mine", made[0], values.JobState.CANCELLED)
        assert list(admin.jobs.list([values.JobState.CANCELLED], tenant="mine")) == [cancelled]
        with pytest.raises(errors.TenantMissing):
            next(admin.jobs.list(tenant="nobody"))


def test_an_operator_pages_through_keys_and_nodes(gateway, monkeypatch):
    for noun in ("keys", "nodes"):
        monkeypatch.setattr(f"storage.catalogue.{noun}.MAX_SIZE", 1)
    report = {"base_model": "tiny", "base_model_revision": "r", "slots": 4, "answers_at_once": 64, "resident": ()}
    gateway.catalogue.nodes.report("engine-2", address="127.0.0.1:1", **report)
    with AdminClient(gateway.admin_address, "operator-key") as admin:
        made = [admin.keys.create("mine").key for _ in range(2)]
        assert list(admin.keys.list("mine"))[:2] == made[::-1]
        assert [node.id for node in admin.nodes.list()] == ["engine-1", "engine-2"]


CLIENT_FILE = ClientFile(address="a:1", key="a-secret", http_url="http://a:2/v1", admin_address="a:3", operator_key="o")


def test_a_client_file_is_read_as_it_was_written_by_this_user_alone(tmp_path):
    assert ClientFile.read(tmp_path) is None
    CLIENT_FILE.write(tmp_path)
    assert ClientFile.read(tmp_path) == CLIENT_FILE
    assert (tmp_path / "client.json").stat().st_mode & 0o077 == 0


def test_what_a_newer_version_adds_to_the_client_file_is_left_out(tmp_path):
    (tmp_path / "client.json").write_text(json.dumps({**asdict(CLIENT_FILE), "added": "later"}))
    assert ClientFile.read(tmp_path) == CLIENT_FILE


@pytest.mark.parametrize("content", [b"", b'{"key": "a-secret"}', b'{"key": "a-secret"', b"[]", b"\xff"])
def test_a_damaged_client_file_is_named_and_not_quoted(tmp_path, content):
    (tmp_path / "client.json").write_bytes(content)
    with pytest.raises(errors.GatewayUnavailable, match=r"client\.json") as failed:
        Client(state_dir=tmp_path)
    assert "a-secret" not in "".join(traceback.format_exception(failed.value))
