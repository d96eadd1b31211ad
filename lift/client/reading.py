"""Turns the messages of lift.v1 into the values of lift.values."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

from google.longrunning import operations_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from lift import status, values
from lift.client.call import Page
from lift.errors import JobCancelled
from lift.v1 import adapters_pb2, admin_pb2, documents_pb2, queries_pb2

T = TypeVar("T")


def nothing(_: Any) -> None:
    """Reads an empty response."""


def page(items: Iterable[Any], read: Callable[[Any], T], next_token: str) -> Page[T]:
    """A page of a listing."""
    return Page(items=tuple(map(read, items)), next_token=next_token)


def document(message: documents_pb2.Document) -> values.Document:
    """A document's description."""
    return values.Document(
        id=_id(message.name),
        title=message.title,
        media_type=message.media_type,
        sha256=message.sha256,
        size_bytes=message.size_bytes,
        created_at=_time(message.create_time),
    )


def adapter(message: adapters_pb2.Adapter) -> values.Adapter:
    """An adapter."""
    return values.Adapter(
        id=_id(message.name),
        title=message.title,
        documents=tuple(map(_id, message.documents)),
        state=values.AdapterState(_word(adapters_pb2.Adapter.State.Name(message.state))),
        revision=_id(message.current_revision) or None,
        job=_id(message.operation),
        base_model=message.base_model,
        created_at=_time(message.create_time),
    )


def revision(message: adapters_pb2.Revision) -> values.Revision:
    """A revision."""
    return values.Revision(
        adapter=message.name.split("/")[1],
        digest=message.digest,
        rank=message.rank,
        size_bytes=message.size_bytes,
        base_model=message.base_model,
        base_model_revision=message.base_model_revision,
        job=_id(message.operation),
        sentences=message.sentences,
        pairs=message.pairs,
        final_loss=message.final_loss,
        recall=message.recall if message.HasField("recall") else None,
        coverage=message.coverage if message.HasField("coverage") else None,
        retention=message.retention if message.HasField("retention") else None,
        losses=tuple(message.losses),
        created_at=_time(message.create_time),
    )


def sentence(message: adapters_pb2.Sentence) -> values.Sentence:
    """A sentence and what is known of it."""
    return values.Sentence(
        document=_id(message.document),
        start=message.start,
        end=message.end,
        text=message.text,
        pairs=tuple(
            values.AskedPair(
                question=pair.question,
                answer=pair.answer,
                held_out=pair.held_out,
                known=pair.known if pair.HasField("known") else None,
            )
            for pair in message.pairs
        ),
    )


def job(operation: operations_pb2.Operation) -> values.Job:
    """A training or a deletion."""
    training = adapters_pb2.TrainingMetadata()
    return _training(operation, training) if operation.metadata.Unpack(training) else _deletion(operation)


def _training(operation: operations_pb2.Operation, message: adapters_pb2.TrainingMetadata) -> values.Job:
    return values.Job(
        id=_id(operation.name),
        kind=values.JobKind.TRAIN,
        adapter=_id(message.adapter),
        state=_state(message.state),
        reason=message.reason,
        attempts=message.attempts,
        progress=values.Progress(
            stage=_stage(message.stage),
            sentences=message.sentences,
            sentences_done=message.sentences_done,
            pairs=message.pairs,
            step=message.step,
            steps=message.steps,
            loss=message.loss,
            seconds=_seconds(message.seconds),
        ),
        revision=_id(message.revision) or None,
        error=status.from_proto(operation.error) if operation.HasField("error") else None,
        created_at=_time(message.create_time),
        ended_at=_time(message.end_time) if message.HasField("end_time") else None,
        next_attempt_at=_time(message.next_attempt_time) if message.HasField("next_attempt_time") else None,
    )


def job_overview(message: admin_pb2.Job) -> values.JobOverview:
    """A job of any tenant."""
    _, tenant, _, id_ = message.name.split("/")
    return values.JobOverview(
        tenant=tenant,
        id=id_,
        kind=values.JobKind(_word(admin_pb2.Job.Kind.Name(message.kind))),
        adapter=_id(message.adapter),
        state=_state(message.state),
        stage=_stage(message.stage),
        reason=message.reason,
        attempts=message.attempts,
        crashes=message.crashes,
        worker=message.worker,
        lease_expires_at=_time(message.lease_expire_time) if message.HasField("lease_expire_time") else None,
        cancel_requested=message.cancel_requested,
        created_at=_time(message.create_time),
        started_at=_time(message.start_time) if message.HasField("start_time") else None,
        ended_at=_time(message.end_time) if message.HasField("end_time") else None,
        next_attempt_at=_time(message.next_attempt_time) if message.HasField("next_attempt_time") else None,
    )


def _state(state: adapters_pb2.TrainingMetadata.State.ValueType) -> values.JobState:
    return values.JobState(_word(adapters_pb2.TrainingMetadata.State.Name(state)))


def _stage(stage: adapters_pb2.TrainingMetadata.Stage.ValueType) -> values.Stage:
    word = _word(adapters_pb2.TrainingMetadata.Stage.Name(stage))
    return values.Stage.NONE if word == "unspecified" else values.Stage(word)


def _deletion(operation: operations_pb2.Operation) -> values.Job:
    message = adapters_pb2.DeleteAdapterMetadata()
    operation.metadata.Unpack(message)
    error = status.from_proto(operation.error) if operation.HasField("error") else None
    state = values.JobState.RUNNING
    if operation.done:
        state = values.JobState.SUCCEEDED if error is None else values.JobState.FAILED
    if isinstance(error, JobCancelled):
        state = values.JobState.CANCELLED
    return values.Job(
        id=_id(operation.name), kind=values.JobKind.DELETE, adapter=_id(message.adapter), state=state, error=error
    )


def _seconds(message: adapters_pb2.StageSeconds) -> values.StageSeconds:
    return values.StageSeconds(**{field.name: value for field, value in message.ListFields()})


def answer(message: queries_pb2.QueryResponse, text: str) -> values.Answer:
    """An answer with its text, which a stream carries apart from the facts."""
    length = message.finish_reason == queries_pb2.FINISH_REASON_LENGTH
    return values.Answer(
        text=text,
        adapter=_id(message.adapter) or None,
        revision=_id(message.revision) or None,
        finish_reason=values.FinishReason.LENGTH if length else values.FinishReason.STOP,
        usage=values.Usage(
            prompt_tokens=message.usage.prompt_tokens,
            completion_tokens=message.usage.completion_tokens,
            first_token_seconds=message.usage.first_token_seconds,
            total_seconds=message.usage.total_seconds,
        ),
        out_of_scope=message.out_of_scope,
        context_truncated=message.context_truncated,
        evidence=tuple(
            values.Evidence(
                document=_id(found.document), start=found.start, end=found.end, text=found.text, score=found.score
            )
            for found in message.evidence
        ),
    )


def tenant(message: admin_pb2.Tenant) -> values.Tenant:
    """A tenant."""
    return values.Tenant(
        id=_id(message.name),
        title=message.title,
        quotas=values.Quotas(**{field.name: value for field, value in message.quotas.ListFields()}),
        created_at=_time(message.create_time),
    )


def key(message: admin_pb2.Key) -> values.Key:
    """A tenant's key."""
    return values.Key(
        id=_id(message.name),
        tenant=message.name.split("/")[1],
        title=message.title,
        created_at=_time(message.create_time),
        revoked_at=_time(message.revoke_time) if message.HasField("revoke_time") else None,
    )


def node(message: admin_pb2.Node) -> values.Node:
    """An engine."""
    return values.Node(
        id=_id(message.name),
        address=message.address,
        base_model=message.base_model,
        slots=message.slots,
        resident=message.resident,
        draining=message.draining,
        alive=message.alive,
        heartbeat_at=_time(message.heartbeat_time),
    )


def _id(name: str) -> str:
    """The last id of a resource name; empty for an empty name."""
    return name.rsplit("/", 1)[-1]


def _word(name: str) -> str:
    """The word of an enum's value: STATE_READY is ready."""
    return name.partition("_")[2].lower()


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
