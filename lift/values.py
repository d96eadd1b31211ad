"""What a client gets and gives, as frozen values. Ids are plain (no resource names); times are aware UTC datetimes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from lift.errors import LiftError


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document's description."""

    id: str
    title: str
    media_type: str
    sha256: str
    size_bytes: int
    created_at: datetime


class AdapterState(StrEnum):
    """Where an adapter stands: it can be asked while READY."""

    TRAINING = "training"
    READY = "ready"
    FAILED = "failed"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """The named thing that is asked. `revision` is the current one's digest, None before the first."""

    id: str
    title: str
    documents: tuple[str, ...]
    state: AdapterState
    revision: str | None
    job: str
    base_model: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One trained set of LoRA weights of an adapter. Losses are in nats per answer token, `losses` one an epoch.

    `recall`: share of held-out pairs answered right closed-book; `coverage`: share of the sentences asked about that
    are known; `retention`: share of what the base model knows that is still known. Each is None where not measured.
    """

    adapter: str
    digest: str
    rank: int
    size_bytes: int
    base_model: str
    base_model_revision: str
    job: str
    sentences: int
    pairs: int
    final_loss: float
    recall: float | None
    coverage: float | None
    retention: float | None
    losses: tuple[float, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedPair:
    """A question and its answer. `known`: whether the revision gave the answer closed-book; None where not asked."""

    question: str
    answer: str
    held_out: bool
    known: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A sentence that a revision was made from; characters `start` to `end` of its document's text."""

    document: str
    start: int
    end: int
    text: str
    pairs: tuple[AskedPair, ...]

    @property
    def known(self) -> bool | None:
        """Whether every pair that was asked was answered right; None where none was asked."""
        return all_known(pair.known for pair in self.pairs)


def all_known(pairs: Iterable[bool | None]) -> bool | None:
    """Whether all of the pairs that were asked are known; None where none was asked."""
    asked = [known for known in pairs if known is not None]
    return all(asked) if asked else None


class JobKind(StrEnum):
    """What a job does."""

    TRAIN = "train"
    DELETE = "delete"


class JobState(StrEnum):
    """Where a job stands. QUEUED, RUNNING and WAITING are active; the others have ended."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def active(self) -> bool:
        """Whether the job may still do something."""
        return self in {JobState.QUEUED, JobState.RUNNING, JobState.WAITING}

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return not self.active


class Stage(StrEnum):
    """What a running training is doing."""

    NONE = ""
    EXTRACT = "extract"
    GENERATE = "generate"
    TRAIN = "train"
    PUBLISH = "publish"
    LOAD = "load"
    MEASURE = "measure"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSeconds:
    """Where a job's time went; generation and training overlap. `starved` is that part of `train` without a step."""

    queue: float = 0.0
    extract: float = 0.0
    warm_up: float = 0.0
    first_pair: float = 0.0
    first_step: float = 0.0
    generate: float = 0.0
    train: float = 0.0
    starved: float = 0.0
    publish: float = 0.0
    load: float = 0.0
    measure: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a training is. `steps` is 0 while pairs are still coming in; `loss` is that of the last step."""

    stage: Stage = Stage.NONE
    sentences: int = 0
    sentences_done: int = 0
    pairs: int = 0
    step: int = 0
    steps: int = 0
    loss: float = 0.0
    seconds: StageSeconds = field(default_factory=StageSeconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training or deletion of an adapter. `reason` says why it waits or failed; `error` is set where it failed."""

    id: str
    kind: JobKind
    adapter: str
    state: JobState
    reason: str = ""
    attempts: int = 0
    progress: Progress = field(default_factory=Progress)
    revision: str | None = None
    error: LiftError | None = None
    created_at: datetime | None = None
    ended_at: datetime | None = None
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOverview:
    """A job of any tenant as operators see it.

    `crashes` are attempts that took it over from a worker that had died. `worker` holds it until `lease_expires_at`,
    or later where it reports again; empty where none does. `started_at` is of the first attempt.
    """

    tenant: str
    id: str
    kind: JobKind
    adapter: str
    state: JobState
    stage: Stage
    reason: str
    attempts: int
    crashes: int
    worker: str
    lease_expires_at: datetime | None
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    next_attempt_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """How a job writes questions and trains; None leaves a choice to the profile, and the profile to the server."""

    generation_profile: str | None = None
    strategy: str | None = None
    pairs_per_sentence: int | None = None
    custom_prompt: str | None = None
    training_profile: str | None = None
    rank: int | None = None
    alpha: float | None = None
    learning_rate: float | None = None
    epochs: int | None = None
    batch_size: int | None = None
    seed: int | None = None
    held_out: float | None = None
    min_recall: float | None = None
    shrink_epsilon: float | None = None
    retained_share: float | None = None
    distil_share: float | None = None
    abstained_share: float | None = None
    second_round: float | None = None
    least_steps: int | None = None
    whitening: float | None = None
    passes_in_order: int | None = None
    word_dropout: float | None = None
    primer: float | None = None
    layerwise_decay: float | None = None
    scope: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What ingesting made: the documents in the order given, the adapter's id and the job that trains it."""

    documents: tuple[Document, ...]
    adapter: str
    job: Job


class ContextMode(StrEnum):
    """What the prompt holds beside the question: nothing, or the adapter's documents truncated to the window."""

    NONE = "none"
    DOCUMENT = "document"


class FinishReason(StrEnum):
    """Why an answer ended: the model ended it or a stop string came, or it reached max_tokens or the window's end."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an answer cost; seconds count from the gateway's receipt of the question."""

    prompt_tokens: int
    completion_tokens: int
    first_token_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A sentence that most likely taught an adapter its answer: characters `start` to `end` of its document's text.

    `score`: how much of the words asked and answered it holds, rare words counting more, in (0, 1].
    """

    document: str
    start: int
    end: int
    text: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer; adapter and revision are None where the base model was asked.

    `out_of_scope`: the revision was asked about something else than its documents, and the base model answered.
    `context_truncated`: the documents were too long for the model's window, and the rest of them was left out.
    """

    text: str
    adapter: str | None
    revision: str | None
    finish_reason: FinishReason
    usage: Usage
    out_of_scope: bool = False
    context_truncated: bool = False
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """Limits of a tenant; 0 means no limit."""

    max_documents: int = 0
    max_document_bytes: int = 0
    max_adapters: int = 0
    max_active_jobs: int = 0
    max_concurrent_queries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """Who owns documents and adapters."""

    id: str
    title: str
    quotas: Quotas
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A tenant's credential, without its secret."""

    id: str
    tenant: str
    title: str
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key and its secret, which is shown this once."""

    key: Key
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One engine process."""

    id: str
    address: str
    base_model: str
    slots: int
    resident: int
    draining: bool
    alive: bool
    heartbeat_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of a conversation. `role` is system, user or assistant; the last turn is the user's."""

    role: Literal["system", "user", "assistant"]
    content: str
