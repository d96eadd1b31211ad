"""Turns records into the messages of lift.v1, and requests into plain values: the one place for both."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from google.longrunning import operations_pb2
from google.protobuf import any_pb2, empty_pb2
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from lift import errors, status
from lift.ids import checked_id, ids_in, name_of
from lift.v1 import adapters_pb2, admin_pb2, documents_pb2, queries_pb2
from lift.values import JobKind, JobState, Quotas, Stage
from server.gateway.answers import Answered, Question
from server.gateway.downloads import FilePiece
from storage import records
from storage.knowledge import SentenceKnowledge


def id_in(name: str, collection: str) -> str:
    """The id in `collection/ID`. MalformedName."""
    return checked_id(ids_in(name, collection)[0])


def tenant_or_all(parent: str) -> str | None:
    """The id in `tenants/ID`; None for `tenants/-`, which stands for all of them (AIP-159). MalformedName."""
    return None if parent == "tenants/-" else id_in(parent, "tenants")


def revision_in(name: str) -> tuple[str, str]:
    """Adapter id and digest in `adapters/ID/revisions/DIGEST`. MalformedName."""
    adapter, digest = ids_in(name, "adapters", "revisions")
    return checked_id(adapter), digest


def revision_of(name: str, adapter: str | None) -> str:
    """The digest in a revision's name. MalformedName; InvalidOption: another adapter's revision."""
    named, digest = revision_in(name)
    if named != adapter:
        raise errors.InvalidOption(option="revision", expected="a revision of the same adapter")
    return digest


def document(record: records.Document) -> documents_pb2.Document:
    """documents/{document}."""
    return documents_pb2.Document(
        name=name_of("documents", record.id),
        title=record.title,
        media_type=record.media_type,
        sha256=record.sha256,
        size_bytes=record.size_bytes,
        create_time=_time(record.created_at),
    )


def adapter(record: records.Adapter) -> adapters_pb2.Adapter:
    """adapters/{adapter}."""
    digest = record.current_revision
    return adapters_pb2.Adapter(
        name=name_of("adapters", record.id),
        title=record.title,
        documents=[name_of("documents", document) for document in record.documents],
        state=adapters_pb2.Adapter.State.Value(f"STATE_{record.state.name}"),
        current_revision=name_of("adapters", record.id, "revisions", digest) if digest else "",
        operation=name_of("operations", record.job),
        base_model=record.base_model,
        create_time=_time(record.created_at),
    )


def revision(record: records.Revision) -> adapters_pb2.Revision:
    """adapters/{adapter}/revisions/{revision}."""
    return adapters_pb2.Revision(
        name=name_of("adapters", record.ref.adapter, "revisions", record.ref.digest),
        digest=record.ref.digest,
        rank=record.rank,
        size_bytes=record.size_bytes,
        base_model=record.base_model,
        base_model_revision=record.base_model_revision,
        operation=name_of("operations", record.job),
        sentences=record.sentences,
        pairs=record.pairs,
        final_loss=record.final_loss,
        recall=record.recall,
        coverage=record.coverage,
        retention=record.retention,
        losses=record.losses,
        create_time=_time(record.created_at),
    )


def sentence(known: SentenceKnowledge) -> adapters_pb2.Sentence:
    """A sentence and what is known of it."""
    return adapters_pb2.Sentence(
        document=name_of("documents", known.document),
        start=known.start,
        end=known.end,
        text=known.text,
        pairs=[adapters_pb2.AskedPair(**pair.model_dump()) for pair in known.pairs],
    )


def file_piece(piece: FilePiece) -> adapters_pb2.DownloadRevisionResponse:
    """A piece of a revision's file."""
    return adapters_pb2.DownloadRevisionResponse(
        file_name=piece.file_name, file_size_bytes=piece.file_size_bytes, chunk=piece.chunk
    )


def options(message: adapters_pb2.TrainingOptions) -> dict[str, Any]:
    """The fields that are set, by name."""
    return {field.name: value for field, value in message.ListFields()}


def operation(job: records.Job, adapter_record: records.Adapter | None) -> operations_pb2.Operation:
    """operations/{job}. A training job that succeeded responds with its adapter, which the caller gives."""
    made = operations_pb2.Operation(name=name_of("operations", job.id), done=not job.state.active)
    made.metadata.CopyFrom(_packed(_metadata(job)))
    if job.state is JobState.CANCELLED:
        made.error.CopyFrom(status.to_proto(errors.JobCancelled()))
    elif job.state is JobState.FAILED:
        made.error.CopyFrom(status.to_proto(errors.JobFailed(problem=job.reason)))
    elif job.state is JobState.SUCCEEDED:
        made.response.CopyFrom(_packed(adapter(adapter_record) if adapter_record else empty_pb2.Empty()))
    return made


_STAGES = adapters_pb2.StageSeconds.DESCRIPTOR.fields_by_name.keys()
_STATES = {state: adapters_pb2.TrainingMetadata.State.Value(f"STATE_{state.name}") for state in JobState}
_STATE_OF = {value: state for state, value in _STATES.items()}


def job_states(values: Iterable[adapters_pb2.TrainingMetadata.State.ValueType]) -> tuple[JobState, ...]:
    """States of jobs, each once. InvalidOption: a value that is none."""
    if wrong := [value for value in values if value not in _STATE_OF]:
        raise errors.InvalidOption(option="states", value=wrong[0])
    return tuple(dict.fromkeys(_STATE_OF[value] for value in values))


def _stage(stage: Stage) -> adapters_pb2.TrainingMetadata.Stage.ValueType:
    return adapters_pb2.TrainingMetadata.Stage.Value(f"STAGE_{stage.name if stage else 'UNSPECIFIED'}")


def _metadata(job: records.Job) -> adapters_pb2.TrainingMetadata | adapters_pb2.DeleteAdapterMetadata:
    name = name_of("adapters", job.adapter)
    if job.kind is JobKind.DELETE:
        return adapters_pb2.DeleteAdapterMetadata(adapter=name)
    progress = job.progress
    return adapters_pb2.TrainingMetadata(
        adapter=name,
        state=_STATES[job.state],
        stage=_stage(progress.stage),
        reason=job.reason,
        attempts=job.attempts,
        sentences=progress.sentences,
        sentences_done=progress.sentences_done,
        pairs=progress.pairs,
        step=progress.step,
        steps=progress.steps,
        loss=progress.loss,
        seconds=adapters_pb2.StageSeconds(
            **{name: progress.seconds[name] for name in _STAGES & progress.seconds.keys()}
        ),
        revision=name_of("adapters", job.adapter, "revisions", job.revision) if job.revision else "",
        create_time=_time(job.created_at),
        end_time=_time(job.ended_at),
        next_attempt_time=_time(job.next_attempt_at),
    )


_ROLES = {
    queries_pb2.Message.ROLE_SYSTEM: "system",
    queries_pb2.Message.ROLE_USER: "user",
    queries_pb2.Message.ROLE_ASSISTANT: "assistant",
}
_FINISH_REASONS = {"stop": queries_pb2.FINISH_REASON_STOP, "length": queries_pb2.FINISH_REASON_LENGTH}


def question(message: queries_pb2.QueryRequest) -> Question:
    """What is asked. InvalidOption: question and messages, or a role that is none; MalformedName."""
    if message.question and message.messages:
        raise errors.InvalidOption(option="messages", expected="either question or messages, not both")
    if any(turn.role not in _ROLES for turn in message.messages):
        raise errors.InvalidOption(option="messages", expected="ROLE_SYSTEM, ROLE_USER or ROLE_ASSISTANT")
    if message.context_mode not in queries_pb2.ContextMode.values():
        raise errors.InvalidOption(option="context_mode", value=message.context_mode)
    asked = id_in(message.adapter, "adapters") if message.adapter else None
    turns = tuple((_ROLES[turn.role], turn.content) for turn in message.messages)
    return Question(
        adapter=asked,
        revision=revision_of(message.revision, asked) if message.revision else None,
        prompt=turns or (("user", message.question),),
        with_documents=message.context_mode == queries_pb2.CONTEXT_MODE_DOCUMENT,
        max_evidence=message.max_evidence,
        max_tokens=message.max_tokens or None,
        temperature=message.sampling.temperature,
        top_p=message.sampling.top_p if message.sampling.HasField("top_p") else 1.0,
        stop=tuple(message.sampling.stop),
    )


def answered(record: Answered, answer: str = "") -> queries_pb2.QueryResponse:
    """The facts of an answer, with its text where one message carries it all."""
    named = record.adapter is not None and record.revision is not None
    return queries_pb2.QueryResponse(
        answer=answer,
        adapter=name_of("adapters", record.adapter) if record.adapter else "",
        revision=name_of("adapters", record.adapter or "", "revisions", record.revision or "") if named else "",
        finish_reason=_FINISH_REASONS.get(record.finish_reason, queries_pb2.FINISH_REASON_UNSPECIFIED),
        usage=queries_pb2.Usage(
            prompt_tokens=record.prompt_tokens,
            completion_tokens=record.completion_tokens,
            first_token_seconds=record.first_token_seconds,
            total_seconds=record.total_seconds,
        ),
        out_of_scope=record.out_of_scope,
        context_truncated=record.context_truncated,
        evidence=[
            queries_pb2.Evidence(
                document=name_of("documents", found.sentence.document),
                start=found.sentence.start,
                end=found.sentence.end,
                text=found.sentence.text,
                score=found.score,
            )
            for found in record.evidence
        ],
    )


def tenant(record: records.Tenant) -> admin_pb2.Tenant:
    """tenants/{tenant}."""
    return admin_pb2.Tenant(
        name=name_of("tenants", record.id),
        title=record.title,
        quotas=admin_pb2.Quotas(**asdict(record.quotas)),
        create_time=_time(record.created_at),
    )


def quotas(message: admin_pb2.Quotas) -> Quotas:
    """Limits of a tenant."""
    return Quotas(**{field.name: value for field, value in message.ListFields()})


def key(record: records.Key) -> admin_pb2.Key:
    """tenants/{tenant}/keys/{key}."""
    return admin_pb2.Key(
        name=name_of("tenants", record.tenant, "keys", record.id),
        title=record.title,
        create_time=_time(record.created_at),
        revoke_time=_time(record.revoked_at),
    )


def job(record: records.JobOverview) -> admin_pb2.Job:
    """tenants/{tenant}/jobs/{job}. Of options and documents it has nothing."""
    job = record.job
    return admin_pb2.Job(
        name=name_of("tenants", job.tenant, "jobs", job.id),
        adapter=name_of("tenants", job.tenant, "adapters", job.adapter),
        kind=admin_pb2.Job.Kind.Value(f"KIND_{job.kind.name}"),
        state=_STATES[job.state],
        stage=_stage(job.progress.stage),
        reason=job.reason,
        attempts=job.attempts,
        crashes=job.crashes,
        worker=record.worker,
        lease_expire_time=_time(record.lease_expires_at),
        cancel_requested=job.cancel_requested,
        create_time=_time(job.created_at),
        start_time=_time(record.started_at),
        end_time=_time(job.ended_at),
        next_attempt_time=_time(job.next_attempt_at),
    )


def node(record: records.Node, *, alive: bool) -> admin_pb2.Node:
    """nodes/{node}."""
    return admin_pb2.Node(
        name=name_of("nodes", record.id),
        address=record.address,
        base_model=record.base_model,
        slots=record.slots,
        resident=record.resident,
        draining=record.draining,
        alive=alive,
        heartbeat_time=_time(record.heartbeat_at),
    )


def _time(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
