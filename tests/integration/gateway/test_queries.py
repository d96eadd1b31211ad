"""Questions over gRPC: answered, refused, and never at another tenant's cost."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from lift import errors, status
from lift.client import AsyncClient
from lift.serving import calls
from lift.v1 import adapters_pb2, documents_pb2
from lift.v1 import queries_pb2 as pb
from lift.values import Quotas
from server.gateway import contexts, routing
from storage import keys, knowledge
from storage.knowledge import SentenceKnowledge

QUESTION = "When does the bell ring?"


async def test_an_adapter_answers_with_what_it_cost(gateway):
    client = gateway.tenant("acme")
    ref = gateway.ready("acme", "tides")
    answer = await client.queries.Query(pb.QueryRequest(adapter="adapters/tides", question=QUESTION))
    assert answer.answer == "The tide bell."
    assert answer.adapter == "adapters/tides"
    assert answer.revision == f"adapters/tides/revisions/{ref.digest}"
    assert answer.finish_reason == pb.FINISH_REASON_STOP
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 3)
    assert 0 < answer.usage.first_token_seconds <= answer.usage.total_seconds


async def test_a_question_reads_which_documents_an_adapter_has_only_where_it_wants_them(gateway, statements_of):
    client = gateway.tenant("acme")
    gateway.ready("acme", "tides")
    for mode, reads in ((pb.CONTEXT_MODE_UNSPECIFIED, False), (pb.CONTEXT_MODE_DOCUMENT, True)):
        with statements_of(gateway.catalogue) as statements:
            request = pb.QueryRequest(adapter="adapters/tides", question=QUESTION, context_mode=mode)
            await client.queries.Query(request)
        assert any("adapter_documents" in statement for statement in statements) is reads


async def test_the_engine_is_asked_in_the_tenants_name_with_one_user_turn(gateway):
    client = gateway.tenant("acme")
    gateway.ready("acme", "tides")
    sampling = pb.Sampling(temperature=0.5, top_p=0.9, stop=["\n"])
    request = pb.QueryRequest(adapter="adapters/tides", question=QUESTION, max_tokens=9, sampling=sampling)
    await client.queries.Query(request)
    asked = gateway.engine.asked[0]
    assert (asked.tenant, asked.revision.tenant, asked.revision.adapter) == ("acme", "acme", "tides")
    assert [(turn.role, turn.content) for turn in asked.turns] == [("user", QUESTION)]
    assert (asked.max_tokens, asked.temperature, asked.top_p, list(asked.stop)) == (9, 0.5, 0.9, ["\n"])
    assert asked.context == asked.prompt == ""


async def test_pieces_come_while_the_engine_still_writes(gateway):
    client = gateway.tenant("acme")
    gateway.engine.waits_before = 1
    gateway.engine.goes_on.clear()
    call = aiter(client.queries.StreamQuery(pb.StreamQueryRequest(query=pb.QueryRequest(question=QUESTION))))
    assert (await anext(call)).delta == "The "
    assert gateway.engine.answering == 1
    gateway.engine.goes_on.set()
    rest = [message async for message in call]
    assert [message.delta for message in rest] == ["tide ", "bell.", ""]
    assert rest[-1].end.answer == ""
    assert rest[-1].end.usage.completion_tokens == 3


async def test_an_answer_names_the_sentences_behind_it_where_that_is_asked(gateway, refused):
    client = gateway.tenant("acme")
    ref = gateway.ready("acme", "tides")
    texts = ("The keeper keeps bees.", "The tide bell rings at noon.")
    places = [SentenceKnowledge(document="doc-1", start=n, end=n + 1, text=text) for n, text in enumerate(texts)]
    knowledge.write(gateway.objects, ref, places)
    query = pb.QueryRequest(adapter="adapters/tides", question=QUESTION, max_evidence=1)
    for answer in (
        await client.queries.Query(query),
        [message async for message in client.queries.StreamQuery(pb.StreamQueryRequest(query=query))][-1].end,
    ):
        assert [(found.document, found.start, found.text) for found in answer.evidence] == [
            ("documents/doc-1", 1, texts[1])
        ]
        assert not answer.out_of_scope
    gateway.engine.out_of_scope = True
    answer = await client.queries.Query(query)
    assert (answer.out_of_scope, [*answer.evidence]) == (True, [])  # the base model's answer was taught by no document
    gateway.engine.out_of_scope = False
    query.max_evidence = 0
    assert not (await client.queries.Query(query)).evidence
    for wrong in (
        pb.QueryRequest(adapter="adapters/tides", question=QUESTION, max_evidence=21),
        pb.QueryRequest(adapter="adapters/tides", question=QUESTION, max_evidence=-1),
        pb.QueryRequest(question=QUESTION, max_evidence=1),
    ):
        assert type(await refused(client.queries.Query(wrong))) is errors.InvalidOption


async def test_no_adapter_means_the_base_model(gateway):
    client = gateway.tenant("acme")
    answer = await client.queries.Query(pb.QueryRequest(question=QUESTION))
    assert answer.adapter == answer.revision == ""
    assert not gateway.engine.asked[0].HasField("revision")


async def test_a_conversation_is_passed_on_turn_by_turn(gateway):
    client = gateway.tenant("acme")
    said = [
        pb.Message(role=pb.Message.ROLE_SYSTEM, content="Be brief."),
        pb.Message(role=pb.Message.ROLE_USER, content="Hello"),
        pb.Message(role=pb.Message.ROLE_ASSISTANT, content="Hi"),
        pb.Message(role=pb.Message.ROLE_USER, content="When?"),
    ]
    await client.queries.Query(pb.QueryRequest(messages=said))
    turns = [(turn.role, turn.content) for turn in gateway.engine.asked[0].turns]
    assert turns == [("system", "Be brief."), ("user", "Hello"), ("assistant", "Hi"), ("user", "When?")]


async def test_document_context_is_the_adapters_documents(gateway):
    client = gateway.tenant("acme")
    gateway.ready("acme", "tides", text="The tide bell rings at dusk.")
    request = pb.QueryRequest(adapter="adapters/tides", question=QUESTION, context_mode=pb.CONTEXT_MODE_DOCUMENT)
    await client.queries.Query(request)
    assert gateway.engine.asked[0].context == "The tide bell rings at dusk."


@pytest.mark.parametrize(
    ("texts", "by_engine", "truncated"),
    [
        (["12345", "6789"], False, False),
        (["12345", "6789"], True, True),
        (["1234567890"], False, False),
        (["12345678901"], False, True),
        (["1234567890", "1"], False, True),
    ],
)
async def test_an_answer_says_whether_documents_were_cut_before_the_engine_or_by_it(
    gateway, monkeypatch, texts, by_engine, truncated
):
    monkeypatch.setattr(contexts, "MAX_CHARACTERS", 10)
    gateway.engine.context_truncated = by_engine
    secret = gateway.key_of("acme")
    documents = [gateway.document("acme", text) for text in texts]
    _, job = gateway.catalogue.adapters.create(
        "acme", id="tides", title="", documents=documents, base_model="tiny", options={}
    )
    gateway.publish(job.id)
    async with AsyncClient(f"127.0.0.1:{gateway.ports.tenants}", secret) as client:
        answer = await client.query("tides", QUESTION, context="document")
    assert answer.context_truncated is truncated
    assert len(gateway.engine.asked[0].context.replace("\n", "")) <= 10


def withheld(gateway, monkeypatch):
    """(keys that were read so far, what lets the readers of objects go on), from now on."""
    read, get, goes_on = [], gateway.objects.get, threading.Event()

    def slow(key):
        read.append(key)
        goes_on.wait(120)
        return get(key)

    monkeypatch.setattr(gateway.objects, "get", slow)
    return read, goes_on


async def test_documents_are_read_for_no_more_queries_than_a_tenant_may_have_at_once(
    gateway, refused, eventually, monkeypatch
):
    client = gateway.tenant("acme", Quotas(max_concurrent_queries=1))
    gateway.ready("acme", "tides")
    read, goes_on = withheld(gateway, monkeypatch)
    request = pb.QueryRequest(adapter="adapters/tides", question=QUESTION, context_mode=pb.CONTEXT_MODE_DOCUMENT)
    admitted = asyncio.ensure_future(client.queries.Query(request))
    await eventually(lambda: len(read) == 1)
    assert type(await refused(client.queries.Query(request, timeout=20))) is errors.QuotaExceeded
    goes_on.set()
    await admitted
    assert len(read) == 1


async def test_a_store_that_is_slow_with_documents_keeps_nobody_else_waiting(gateway, eventually, monkeypatch):
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(4))
    client, other = gateway.tenant("acme"), gateway.tenant("other")
    gateway.ready("acme", "tides")
    read, goes_on = withheld(gateway, monkeypatch)
    request = pb.QueryRequest(adapter="adapters/tides", question=QUESTION, context_mode=pb.CONTEXT_MODE_DOCUMENT)
    slow = [asyncio.ensure_future(client.queries.Query(request)) for _ in range(8)]
    await eventually(lambda: len(read) == 4)
    try:
        await other.queries.Query(pb.QueryRequest(question=QUESTION), timeout=20)
    finally:
        goes_on.set()
    await asyncio.gather(*slow)


async def test_a_store_that_is_slow_with_what_a_revision_knows_keeps_nobody_else_waiting(
    gateway, eventually, monkeypatch
):
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(4))
    client, other = gateway.tenant("acme"), gateway.tenant("other")
    ref = gateway.ready("acme", "tides")
    gateway.ready("other", "bells", digest="b" * 64)
    knowledge.write(gateway.objects, ref, [SentenceKnowledge(document="doc-1", start=0, end=3, text="Tide")])
    goes_on, get = threading.Event(), gateway.objects.get
    read = []

    def slow(key):
        if key == keys.knowledge(ref):
            read.append(key)
            goes_on.wait(120)
        return get(key)

    monkeypatch.setattr(gateway.objects, "get", slow)
    query = pb.QueryRequest(adapter="adapters/tides", question=QUESTION, max_evidence=1)
    listing = adapters_pb2.ListSentencesRequest(parent="adapters/tides")
    waiting = [asyncio.ensure_future(client.queries.Query(query)) for _ in range(8)]
    waiting += [asyncio.ensure_future(client.adapters.ListSentences(listing)) for _ in range(8)]
    await eventually(lambda: len(gateway.engine.asked) == 8 and bool(read))
    theirs = pb.QueryRequest(adapter="adapters/bells", question=QUESTION, context_mode=pb.CONTEXT_MODE_DOCUMENT)
    try:
        await other.queries.Query(theirs, timeout=20)
    finally:
        goes_on.set()
    await asyncio.gather(*waiting)
    assert len(read) == 1


async def test_a_tenant_has_no_more_queries_than_it_may_where_evidence_is_being_found(
    gateway, refused, eventually, monkeypatch
):
    client = gateway.tenant("acme", Quotas(max_concurrent_queries=1))
    ref = gateway.ready("acme", "tides")
    knowledge.write(gateway.objects, ref, [SentenceKnowledge(document="doc-1", start=0, end=3, text="Tide")])
    read, goes_on = withheld(gateway, monkeypatch)
    query = pb.QueryRequest(adapter="adapters/tides", question=QUESTION, max_evidence=1)
    first = asyncio.ensure_future(client.queries.Query(query))
    await eventually(lambda: len(read) == 1)
    assert type(await refused(client.queries.Query(query, timeout=20))) is errors.QuotaExceeded
    goes_on.set()
    await first
    await client.queries.Query(query)


async def test_an_adapter_that_is_not_resident_is_loaded_once(gateway):
    client = gateway.tenant("acme")
    ref = gateway.ready("acme", "tides")
    for _ in range(2):
        await client.queries.Query(pb.QueryRequest(adapter="adapters/tides", question=QUESTION))
    assert gateway.engine.loads == [ref.digest]


async def test_a_pinned_revision_answers_instead_of_the_current_one(gateway):
    client = gateway.tenant("acme")
    old = gateway.ready("acme", "tides", digest="a" * 64)
    gateway.publish(gateway.catalogue.adapters.retrain("acme", "tides").id, digest="b" * 64)
    name = f"adapters/tides/revisions/{old.digest}"
    answer = await client.queries.Query(pb.QueryRequest(adapter="adapters/tides", question=QUESTION, revision=name))
    assert answer.revision == name


async def test_a_node_that_is_down_is_passed_over(running):
    async with running(engines=2) as gateway:
        client = gateway.tenant("acme")
        gateway.ready("acme", "tides")
        await gateway.engines[0].stop()
        answer = await client.queries.Query(pb.QueryRequest(adapter="adapters/tides", question=QUESTION))
        assert answer.answer == "The tide bell."
        answer = await client.queries.Query(pb.QueryRequest(question=QUESTION))
        assert answer.answer == "The tide bell."


async def test_a_draining_node_gets_no_new_queries(running):
    async with running(engines=2) as gateway:
        client = gateway.tenant("acme")
        gateway.catalogue.nodes.drain("engine-1", True)
        for _ in range(4):
            await client.queries.Query(pb.QueryRequest(question=QUESTION))
        assert len(gateway.engines[1].asked) == 4


@pytest.mark.parametrize("other", [0, 1])
async def test_an_engine_of_another_base_model_is_not_asked_for_an_adapter(running, refused, other):
    async with running(engines=2) as gateway:
        client = gateway.tenant("acme")
        ref = gateway.ready("acme", "tides")
        gateway.report(other, [ref], base_model_revision="another")
        gateway.engines[other].refuses_to_load = errors.RevisionRejected(problem="it was trained on another base model")
        query = pb.QueryRequest(adapter="adapters/tides", question=QUESTION)
        await client.queries.Query(query)
        await gateway.engines[1 - other].stop()
        assert type(await refused(client.queries.Query(query))) is errors.EngineUnavailable
        assert (gateway.engines[other].asked, gateway.engines[other].loads) == ([], [])


@pytest.mark.parametrize("holder", [0, 1])
async def test_a_node_that_holds_the_revision_is_asked_first(running, holder):
    async with running(engines=2) as gateway:
        client = gateway.tenant("acme")
        ref = gateway.ready("acme", "tides")
        gateway.engines[holder].resident.add((ref.tenant, ref.adapter, ref.digest))
        gateway.report(holder, [ref])
        await client.queries.Query(pb.QueryRequest(adapter="adapters/tides", question=QUESTION))
        assert gateway.engines[holder].loads == []
        assert len(gateway.engines[holder].asked) == 1


async def test_a_revision_that_many_ask_is_on_several_nodes(running, eventually, monkeypatch):
    monkeypatch.setattr(routing, "ASKED_MUCH", 2)
    async with running(engines=2) as gateway:
        client = gateway.tenant("acme")
        ref = gateway.ready("acme", "tides")
        gateway.report(0, [ref])
        gateway.engines[0].resident.add((ref.tenant, ref.adapter, ref.digest))
        for engine in gateway.engines:
            engine.waits_before = 1
            engine.goes_on.clear()
        query = pb.QueryRequest(adapter="adapters/tides", question=QUESTION)
        asked = [asyncio.create_task(_answer(client, query)) for _ in range(2)]
        await eventually(lambda: gateway.engines[0].answering == 2)
        asked += [asyncio.create_task(_answer(client, query)) for _ in range(2)]
        await eventually(lambda: gateway.engines[1].answering == 2)
        for engine in gateway.engines:
            engine.goes_on.set()
        assert await asyncio.gather(*asked) == ["The tide bell."] * 4


async def _answer(client, query):
    return (await client.queries.Query(query)).answer


async def test_a_node_whose_slots_are_full_is_passed_over_until_none_is_left(running, refused):
    async with running(engines=2) as gateway:
        client = gateway.tenant("acme")
        gateway.ready("acme", "tides")
        query = pb.QueryRequest(adapter="adapters/tides", question=QUESTION)
        gateway.engines[0].refuses_to_load = gateway.engines[1].refuses_to_load = errors.SlotsFull()
        assert type(await refused(client.queries.Query(query))) is errors.SlotsFull
        gateway.engines[1].refuses_to_load = None
        await client.queries.Query(query)
        assert len(gateway.engines[1].asked) == 1


async def test_a_revision_that_the_engine_rejects_fails_with_its_reason(gateway, refused):
    client = gateway.tenant("acme")
    gateway.ready("acme", "tides")
    gateway.engine.refuses_to_load = errors.RevisionRejected(problem="rank")
    error = await refused(client.queries.Query(pb.QueryRequest(adapter="adapters/tides", question=QUESTION)))
    assert type(error) is errors.RevisionRejected


async def test_a_tenant_with_many_cold_adapters_leaves_room_for_anothers(gateway, eventually):
    acme, other = gateway.tenant("acme"), gateway.tenant("other")
    for name in ("one", "two", "three"):
        gateway.ready("acme", name, text=name)
    gateway.ready("other", "theirs")
    gateway.engine.loads_go_on.clear()
    asked = [
        asyncio.ensure_future(client.queries.Query(pb.QueryRequest(adapter=f"adapters/{name}", question=QUESTION)))
        for client, name in ((acme, "one"), (acme, "two"), (acme, "three"), (other, "theirs"))
    ]
    await eventually(lambda: gateway.engine.loading == {"acme": 2, "other": 1})
    gateway.engine.loads_go_on.set()
    await asyncio.gather(*asked)
    assert len(gateway.engine.loads) == 4
    assert gateway.engine.most_loading == {"acme": 2, "other": 1}


async def test_queries_that_wait_for_loads_take_nobody_elses_place(gateway, eventually, refused, monkeypatch):
    monkeypatch.setattr(routing, "WAITING_PER_TENANT", 4)
    acme, other = gateway.tenant("acme"), gateway.tenant("other")
    gateway.ready("acme", "tides")
    gateway.report(answers_at_once=2)
    gateway.engine.loads_go_on.clear()
    query = pb.QueryRequest(adapter="adapters/tides", question=QUESTION)
    asked = [asyncio.ensure_future(acme.queries.Query(query)) for _ in range(4)]
    await eventually(lambda: gateway.engine.loading == {"acme": 2})
    await other.queries.Query(pb.QueryRequest(question=QUESTION))
    await eventually(lambda: gateway.engine.refused == 4)
    assert type(await refused(acme.queries.Query(query))) is errors.QuotaExceeded
    gateway.engine.loads_go_on.set()
    await asyncio.gather(*asked)


async def test_an_answer_that_breaks_off_is_not_begun_again_elsewhere(running, refused):
    async with running(engines=2) as gateway:
        client = gateway.tenant("acme")
        for engine in gateway.engines:
            engine.fails, engine.fails_after = errors.EngineUnavailable(), 1
        call = client.queries.StreamQuery(pb.StreamQueryRequest(query=pb.QueryRequest(question=QUESTION)))
        pieces = aiter(call)
        assert (await anext(pieces)).delta == "The "
        assert isinstance(await refused(pieces), errors.EngineUnavailable)
        assert sum(len(engine.asked) for engine in gateway.engines) == 1


async def test_an_answer_whose_adapter_is_taken_out_midway_is_not_begun_again(gateway, refused):
    client = gateway.tenant("acme")
    gateway.ready("acme", "tides")
    gateway.engine.fails, gateway.engine.fails_after = errors.RevisionNotResident(), 1
    query = pb.QueryRequest(adapter="adapters/tides", question=QUESTION)
    pieces = aiter(client.queries.StreamQuery(pb.StreamQueryRequest(query=query)))
    assert (await anext(pieces)).delta == "The "
    assert isinstance(await refused(pieces), errors.EngineUnavailable)
    assert len(gateway.engine.asked) == 1


async def test_without_an_engine_the_answer_is_unavailable(running, refused):
    async with running(engines=0) as gateway:
        error = await refused(gateway.tenant("acme").queries.Query(pb.QueryRequest(question=QUESTION)))
        assert isinstance(error, errors.EngineUnavailable)


async def test_what_nodes_say_to_each_other_stays_between_them(gateway, refused):
    client = gateway.tenant("acme")
    gateway.engine.fails = errors.CredentialWrong()
    error = await refused(client.queries.Query(pb.QueryRequest(question=QUESTION)))
    assert isinstance(error, errors.InternalError)
    assert gateway.engine.address not in str(error)


BAD = {
    "an empty question": (pb.QueryRequest(), errors.QuestionEmpty),
    "a blank question": (pb.QueryRequest(question=" \n"), errors.QuestionEmpty),
    "an over-long question": (pb.QueryRequest(question="x" * 32_001), errors.QuestionTooLong),
    "a question beside a conversation": (
        pb.QueryRequest(question="x", messages=[pb.Message(role=pb.Message.ROLE_USER, content="x")]),
        errors.InvalidOption,
    ),
    "a conversation that ends with the model": (
        pb.QueryRequest(messages=[pb.Message(role=pb.Message.ROLE_ASSISTANT, content="x")]),
        errors.InvalidOption,
    ),
    "a turn of nobody's": (pb.QueryRequest(messages=[pb.Message(content="x")]), errors.InvalidOption),
    "a conversation of turns without end": (
        pb.QueryRequest(
            messages=[pb.Message(role=pb.Message.ROLE_USER, content=content) for content in [""] * 1000 + ["x"]]
        ),
        errors.InvalidOption,
    ),
    "negative max_tokens": (pb.QueryRequest(question="x", max_tokens=-1), errors.InvalidOption),
    "too many tokens": (pb.QueryRequest(question="x", max_tokens=2049), errors.InvalidOption),
    "too hot": (pb.QueryRequest(question="x", sampling=pb.Sampling(temperature=2.1)), errors.InvalidOption),
    "a temperature that is no number": (
        pb.QueryRequest(question="x", sampling=pb.Sampling(temperature=float("nan"))),
        errors.InvalidOption,
    ),
    "no nucleus": (pb.QueryRequest(question="x", sampling=pb.Sampling(top_p=0)), errors.InvalidOption),
    "five stops": (pb.QueryRequest(question="x", sampling=pb.Sampling(stop=list("abcde"))), errors.InvalidOption),
    "an empty stop": (pb.QueryRequest(question="x", sampling=pb.Sampling(stop=[""])), errors.InvalidOption),
    "a name of another kind": (pb.QueryRequest(question="x", adapter="documents/d"), errors.MalformedName),
    "a name that climbs": (pb.QueryRequest(question="x", adapter="adapters/.."), errors.MalformedName),
    "an unknown adapter": (pb.QueryRequest(question="x", adapter="adapters/nobody"), errors.AdapterMissing),
    "an unknown context mode": (pb.QueryRequest(question="x", context_mode=9), errors.InvalidOption),  # type: ignore[arg-type]
    "the base model's documents": (
        pb.QueryRequest(question="x", context_mode=pb.CONTEXT_MODE_DOCUMENT),
        errors.InvalidOption,
    ),
    "another adapter's revision": (
        pb.QueryRequest(question="x", adapter="adapters/tides", revision="adapters/other/revisions/d"),
        errors.InvalidOption,
    ),
    "an unknown revision": (
        pb.QueryRequest(question="x", adapter="adapters/tides", revision="adapters/tides/revisions/0"),
        errors.RevisionMissing,
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_question_is_refused_before_any_engine_hears_of_it(gateway, refused, case):
    client = gateway.tenant("acme")
    gateway.ready("acme", "tides")
    request, kind = BAD[case]
    assert type(await refused(client.queries.Query(request))) is kind
    assert type(await refused(client.queries.StreamQuery(pb.StreamQueryRequest(query=request)))) is kind
    assert gateway.engine.asked == []


async def test_an_adapter_in_training_names_its_operation(gateway, refused):
    client = gateway.tenant("acme")
    job = gateway.training("acme", "tides")
    error = await refused(client.queries.Query(pb.QueryRequest(adapter="adapters/tides", question=QUESTION)))
    assert type(error) is errors.AdapterTraining
    assert error.facts == {"adapter": "adapters/tides", "operation": f"operations/{job}"}


async def test_an_adapter_whose_training_was_cancelled_has_failed(gateway, refused):
    client = gateway.tenant("acme")
    gateway.catalogue.jobs.request_cancel("acme", gateway.training("acme", "tides"))
    error = await refused(client.queries.Query(pb.QueryRequest(adapter="adapters/tides", question=QUESTION)))
    assert type(error) is errors.AdapterFailed


async def test_another_tenants_adapter_answers_exactly_like_one_that_is_not_there(gateway, eventually):
    acme, other = gateway.tenant("acme"), gateway.tenant("other")
    gateway.ready("acme", "tides")

    async def failure(client):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await client.queries.Query(pb.QueryRequest(adapter="adapters/tides", question=QUESTION))
        details = dict(failed.value.trailing_metadata())
        return failed.value.code(), failed.value.details(), details["grpc-status-details-bin"]

    seen = await failure(other)
    await acme.queries.Query(pb.QueryRequest(adapter="adapters/tides", question=QUESTION))
    gateway.catalogue.adapters.start_deletion("acme", "tides")
    await eventually(lambda: not gateway.catalogue.adapters.list("acme").items)
    assert await failure(acme) == seen


async def test_a_tenant_may_have_only_so_many_queries_at_once(gateway, refused, eventually):
    client = gateway.tenant("acme", Quotas(max_concurrent_queries=1))
    other = gateway.tenant("other")
    gateway.engine.goes_on.clear()
    running = asyncio.ensure_future(client.queries.Query(pb.QueryRequest(question=QUESTION)))
    await eventually(lambda: gateway.engine.answering == 1)
    error = await refused(client.queries.Query(pb.QueryRequest(question=QUESTION)))
    assert type(error) is errors.QuotaExceeded
    unhindered = asyncio.ensure_future(other.queries.Query(pb.QueryRequest(question=QUESTION)))
    await eventually(lambda: gateway.engine.answering == 2)
    gateway.engine.goes_on.set()
    await running
    await unhindered
    await client.queries.Query(pb.QueryRequest(question=QUESTION))


async def test_a_full_queue_refuses_and_recovers(running, refused, eventually):
    async with running(max_concurrent_queries=1, max_queued_queries=0) as gateway:
        client = gateway.tenant("acme")
        gateway.engine.goes_on.clear()
        held = asyncio.ensure_future(client.queries.Query(pb.QueryRequest(question=QUESTION)))
        await eventually(lambda: gateway.engine.answering == 1)
        assert type(await refused(client.queries.Query(pb.QueryRequest(question=QUESTION)))) is errors.QueueFull
        gateway.engine.goes_on.set()
        await held
        await client.queries.Query(pb.QueryRequest(question=QUESTION))


@pytest.mark.parametrize(("engines", "setting", "room"), [(1, 256, 2), (2, 256, 4), (2, 3, 3)])
async def test_engines_are_given_no_more_than_they_write_at_once_and_tenants_take_turns_before_them(
    running, eventually, engines, setting, room
):
    line = 16
    async with running(engines=engines, max_concurrent_queries=setting, max_queued_queries=line) as gateway:
        busy, quiet = gateway.tenant("busy"), gateway.tenant("quiet")
        asked = []
        for number, engine in enumerate(gateway.engines):
            gateway.report(number, answers_at_once=2)
            engine.asked = asked
            engine.goes_on.clear()
        query = pb.QueryRequest(question=QUESTION)
        theirs = [asyncio.ensure_future(busy.queries.Query(query)) for _ in range(room + line)]
        await eventually(lambda: len(asked) == room)
        mine = asyncio.ensure_future(quiet.queries.Query(query))
        await eventually(lambda: any(one.done() for one in theirs))  # the line was full: one of them has made room
        assert [request.tenant for request in asked] == ["busy"] * room
        for engine in gateway.engines:
            engine.goes_on.set()
        await mine
        assert [request.tenant for request in asked].index("quiet") <= room + 2
        ended = await asyncio.gather(*theirs, return_exceptions=True)
        assert sum(isinstance(end, grpc.aio.AioRpcError) for end in ended) == 1


async def test_a_client_that_leaves_stops_the_engine(gateway, eventually):
    client = gateway.tenant("acme")
    gateway.engine.words = ["on "] * 100_000
    call = client.queries.StreamQuery(pb.StreamQueryRequest(query=pb.QueryRequest(question=QUESTION)))
    await anext(aiter(call))
    assert gateway.engine.answering == 1
    call.cancel()
    await eventually(lambda: gateway.engine.answering == 0)


async def test_an_answer_that_takes_too_long_times_out(running, refused, eventually):
    async with running(query_timeout_seconds=0.3) as gateway:
        gateway.engine.goes_on.clear()
        error = await refused(gateway.tenant("acme").queries.Query(pb.QueryRequest(question=QUESTION)))
        assert type(error) is errors.TimedOut
        await eventually(lambda: gateway.engine.answering == 0)


async def test_a_client_that_reads_slowly_hears_that_its_time_is_over_and_holds_nothing_more(running, eventually):
    async with running(query_timeout_seconds=3, max_concurrent_queries=1) as gateway:
        client = gateway.tenant("acme")
        gateway.engine.words = ["x" * 10_000] * 5_000
        call = client.queries.StreamQuery(pb.StreamQueryRequest(query=pb.QueryRequest(question=QUESTION)), timeout=60)
        pieces = aiter(call)
        await anext(pieces)
        await eventually(lambda: gateway.engine.answering == 0)
        gateway.engine.words = ["on"]
        await client.queries.Query(pb.QueryRequest(question=QUESTION))
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            [message async for message in pieces]
        assert status.from_call(failed.value).facts == {"limit_seconds": "3.0"}


async def test_an_engine_is_given_all_the_time_that_an_answer_may_take(running):
    async with running(query_timeout_seconds=300) as gateway:
        client = gateway.tenant("acme")
        gateway.ready("acme", "tides")
        await client.queries.Query(pb.QueryRequest(adapter="adapters/tides", question=QUESTION))
        assert gateway.engine.seconds_given == {
            "LoadRevision": pytest.approx(300, abs=10),
            "Answer": pytest.approx(300, abs=10),
        }


async def test_every_answer_and_every_error_carries_a_request_id_of_its_own(gateway):
    client = gateway.tenant("acme")
    call = client.queries.Query(pb.QueryRequest(question=QUESTION))
    await call
    initial, trailing = dict(await call.initial_metadata()), dict(await call.trailing_metadata())
    assert initial["x-request-id"] == trailing["x-request-id"]
    call = client.queries.Query(pb.QueryRequest())
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    assert dict(failed.value.trailing_metadata())["x-request-id"] != initial["x-request-id"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_our_client_asks_again_where_no_engine_could_answer(gateway, eventually, streamed):
    gateway.engine.fails = errors.EngineUnavailable()
    async with AsyncClient(f"127.0.0.1:{gateway.ports.tenants}", gateway.key_of("acme")) as client:
        asking = asyncio.ensure_future(answered(client, streamed))
        await eventually(lambda: bool(gateway.engine.asked))  # twice by now, should this have come late
        gateway.engine.fails = None
        assert await asking == "The tide bell."


async def answered(client, streamed):
    """What the base model answers our client, in one piece or in many."""
    if streamed:
        return "".join([piece async for piece in client.stream(None, QUESTION)])
    return (await client.query(None, QUESTION)).text


async def test_an_unknown_failure_is_internal_and_never_quoted(gateway):
    client = gateway.tenant("acme")
    gateway.ready("acme", "tides", text="A secret text.")
    gateway.objects.get = _broken
    request = pb.QueryRequest(adapter="adapters/tides", question=QUESTION, context_mode=pb.CONTEXT_MODE_DOCUMENT)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await client.queries.Query(request)
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert "wires" not in failed.value.details()
    assert dict(failed.value.trailing_metadata())["x-request-id"] in failed.value.details()


def _broken(key):
    raise RuntimeError(f"crossed wires at {key}")


async def test_a_call_without_a_deadline_is_given_one(gateway, refused, monkeypatch):
    monkeypatch.setattr(calls, "DEADLINE_SECONDS", 0.2)
    client = gateway.tenant("acme")
    goes_on = threading.Event()

    def put(key, data):
        goes_on.wait(120)

    monkeypatch.setattr(gateway.objects, "put", put)
    described = documents_pb2.Document(media_type="text/plain")
    request = documents_pb2.CreateDocumentRequest(document=described, content=b"The tide bell rings.")
    assert type(await refused(client.documents.CreateDocument(request))) is errors.TimedOut
    goes_on.set()
