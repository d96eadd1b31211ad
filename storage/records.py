"""What the catalogue holds, as frozen values. Times are aware UTC datetimes; ids are those of `lift.ids`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from lift.values import AdapterState, JobKind, JobState, Quotas, Stage

T = TypeVar("T")

ACTIVE = tuple(state for state in JobState if state.active)
"""The states of jobs that may still do something."""


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
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document's description; its bytes are at `storage.keys.document`."""

    id: str
    tenant: str
    title: str
    media_type: str
    sha256: str
    size_bytes: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """The named thing a tenant queries. `current_revision` is a revision's digest; `job` is the newest job's id."""

    id: str
    tenant: str
    title: str
    documents: tuple[str, ...]
    state: AdapterState
    base_model: str
    current_revision: str | None
    job: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionRef:
    """Names one revision everywhere: tenant, adapter, and the SHA-256 of its manifest."""

    tenant: str
    adapter: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One trained set of LoRA weights. `recall`, `coverage` and `retention` are as in `lift.v1.Revision`, None where
    they were not measured; `losses` has the mean of each epoch, in nats per answer token."""

    ref: RevisionRef
    job: str
    rank: int
    size_bytes: int
    base_model: str
    base_model_revision: str
    sentences: int
    pairs: int
    final_loss: float
    recall: float | None = None
    coverage: float | None = None
    retention: float | None = None
    losses: tuple[float, ...] = ()
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a training job is. `seconds` has the names of `lift.v1.StageSeconds`; `steps` is 0 while unknown."""

    stage: Stage = Stage.NONE
    sentences: int = 0
    sentences_done: int = 0
    pairs: int = 0
    step: int = 0
    steps: int = 0
    loss: float = 0.0
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training (or deletion) of an adapter. `options` are the set fields of `lift.v1.TrainingOptions`.

    `attempts` counts claims; `crashes` those of them that took the job over from a worker whose lease ran out.
    """

    id: str
    tenant: str
    adapter: str
    kind: JobKind
    documents: tuple[str, ...]
    options: Mapping[str, Any]
    state: JobState
    reason: str = ""
    attempts: int = 0
    crashes: int = 0
    progress: Progress = field(default_factory=Progress)
    revision: str | None = None
    cancel_requested: bool = False
    created_at: datetime
    ended_at: datetime | None = None
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOverview:
    """A job as operators see it: also which worker holds it (empty where none does), until when, and since when it ran.

    One that runs and whose lease is over was left by a worker that died. `started_at` is of the first attempt.
    """

    job: Job
    worker: str
    started_at: datetime | None
    lease_expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A worker's hold on a job. The token grows with every claim: a write with an older one is refused (fencing)."""

    job: Job
    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How many jobs of a kind are in an active state, over all tenants, and how long ago the oldest was made."""

    kind: JobKind
    state: JobState
    jobs: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One engine process as it last reported, `silent_seconds` ago by the catalogue's clock when this was read."""

    id: str
    address: str
    base_model: str
    base_model_revision: str
    slots: int
    answers_at_once: int
    resident: int
    draining: bool
    heartbeat_at: datetime
    silent_seconds: float = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a listing; `next_token` is empty on the last."""

    items: tuple[T, ...]
    next_token: str = ""
