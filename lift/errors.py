"""Every error that crosses a boundary of this project, as one tree.

LiftError
├── InvalidInput          INVALID_ARGUMENT     MalformedName, InvalidOption, DocumentEmpty, DocumentBinary,
│                                              DocumentUndecodable, MediaTypeUnknown, QuestionEmpty, QuestionTooLong,
│                                              MalformedPageToken
├── NotFound              NOT_FOUND            TenantMissing, KeyMissing, DocumentMissing, AdapterMissing,
│                                              RevisionMissing, JobMissing, NodeMissing, ObjectMissing
├── AlreadyExists         ALREADY_EXISTS       TenantExists, DocumentExists, AdapterExists, RequestIdReused
├── Precondition          FAILED_PRECONDITION  AdapterTraining, AdapterFailed, AdapterDeleting, JobActive, JobEnded,
│                                              JobFailed, DocumentInUse, TenantInUse, RevisionNotResident,
│                                              RevisionRejected, BaseModelMissing, PrimerRejected, StackRunning,
│                                              StackStopped, StackFailed, AdminDisabled, NothingWritten, RecallTooLow
├── Exhausted             RESOURCE_EXHAUSTED   DocumentTooLarge, QuotaExceeded, QueueFull, SlotsFull
├── Unauthenticated       UNAUTHENTICATED      CredentialMissing, CredentialWrong
├── Unavailable           UNAVAILABLE          GatewayUnavailable, EngineUnavailable, GeneratorUnavailable,
│                                              EndpointUnavailable, StoreUnavailable, CatalogueUnavailable
├── LeaseLost             ABORTED
├── TimedOut              DEADLINE_EXCEEDED
├── JobCancelled          CANCELLED
└── InternalError         INTERNAL             WorkerLost

A class's docstring is its message; the keyword arguments of an instance are facts about the case. Facts are shown to
the tenant, so they never hold another tenant's names, document text or a secret. `lift.status` maps the tree to gRPC.
"""

from typing import Self, TypeAlias

Fact: TypeAlias = str | int | float


class LiftError(Exception):
    """Something went wrong"""

    def __init__(self, **facts: Fact) -> None:
        super().__init__(facts)
        self.facts = facts

    def __str__(self) -> str:
        message = (type(self).__doc__ or "").strip()
        facts = ", ".join(f"{name}: {value}" for name, value in self.facts.items())
        return f"{message} ({facts})" if facts else message

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuilt, (type(self), self.facts))

    @classmethod
    def reason(cls) -> str:
        """The machine-readable name, as google.rpc.ErrorInfo has it: UPPER_SNAKE_CASE of the class's name."""
        return "".join(f"_{c}" if c.isupper() else c for c in cls.__name__).lstrip("_").upper()

    @classmethod
    def of_reason(cls, reason: str) -> type[Self] | None:
        """The class below this one with that reason."""
        if cls.reason() == reason:
            return cls
        return next((found for sub in cls.__subclasses__() if (found := sub.of_reason(reason))), None)


def _rebuilt(kind: type[LiftError], facts: dict[str, Fact]) -> LiftError:
    return kind(**facts)


class InvalidInput(LiftError):
    """The request is not valid"""


class MalformedName(InvalidInput):
    """This is not a valid name or id"""


class MalformedPageToken(InvalidInput):
    """The page token is none that this server made"""


class InvalidOption(InvalidInput):
    """This option does not have a value that can be used"""


class DocumentEmpty(InvalidInput):
    """The document holds no text"""


class DocumentBinary(InvalidInput):
    """The document is binary data, not text"""


class DocumentUndecodable(InvalidInput):
    """The document cannot be decoded with the character set of its media type"""


class MediaTypeUnknown(InvalidInput):
    """Documents of this media type cannot be read"""


class QuestionEmpty(InvalidInput):
    """The question is empty"""


class QuestionTooLong(InvalidInput):
    """Question and answer do not fit the model's window"""


class NotFound(LiftError):
    """There is no such thing"""


class TenantMissing(NotFound):
    """No tenant with this id"""


class KeyMissing(NotFound):
    """No key with this id"""


class DocumentMissing(NotFound):
    """No document with this id"""


class AdapterMissing(NotFound):
    """No adapter with this id"""


class RevisionMissing(NotFound):
    """No revision with this id"""


class JobMissing(NotFound):
    """No operation with this id"""


class NodeMissing(NotFound):
    """No node with this id"""


class ObjectMissing(NotFound):
    """No object with this key"""


class AlreadyExists(LiftError):
    """It is there already"""


class TenantExists(AlreadyExists):
    """The tenant id is taken"""


class DocumentExists(AlreadyExists):
    """A document with the same bytes is there already"""


class AdapterExists(AlreadyExists):
    """The adapter id is taken"""


class RequestIdReused(AlreadyExists):
    """The request id was used for a different request"""


class Precondition(LiftError):
    """That cannot be done in the present state"""


class AdapterTraining(Precondition):
    """The adapter is still being trained"""


class AdapterFailed(Precondition):
    """The adapter has no revision: its job did not succeed"""


class AdapterDeleting(Precondition):
    """The adapter is being deleted"""


class JobActive(Precondition):
    """A job of this adapter is still active"""


class JobEnded(Precondition):
    """The job has ended"""


class JobFailed(Precondition):
    """The job gave up"""


class DocumentInUse(Precondition):
    """An adapter, or one of its revisions, is made from the document"""


class TenantInUse(Precondition):
    """The tenant still has documents or adapters"""


class RevisionNotResident(Precondition):
    """The revision is not loaded in this engine"""


class RevisionRejected(Precondition):
    """The revision failed validation"""


class BaseModelMissing(Precondition):
    """The base model cannot be found or read"""


class PrimerRejected(Precondition):
    """The primer is none of this base model"""


class StackRunning(Precondition):
    """The stack of this state folder is running already"""


class StackStopped(Precondition):
    """The stack of this state folder is not running"""


class StackFailed(Precondition):
    """A process of the stack did not start"""


class AdminDisabled(Precondition):
    """Administration is off: the gateway was started without an operator key"""


class RecallTooLow(Precondition):
    """The revision answers too few of the questions that were kept to measure it"""


class NothingWritten(Precondition):
    """No question could be written about the documents"""


class Exhausted(LiftError):
    """A limit is reached"""


class DocumentTooLarge(Exhausted):
    """The document is larger than the server takes"""


class QuotaExceeded(Exhausted):
    """A quota of the tenant is used up"""


class QueueFull(Exhausted):
    """Too many queries are waiting"""


class SlotsFull(Exhausted):
    """Every slot of the engine is in use"""


class Unauthenticated(LiftError):
    """The call is not authenticated"""


class CredentialMissing(Unauthenticated):
    """The call carries no key: send `authorization: Bearer KEY`"""


class CredentialWrong(Unauthenticated):
    """The key is unknown or revoked"""


class Unavailable(LiftError):
    """A part of the system cannot be reached"""


class GatewayUnavailable(Unavailable):
    """The gateway cannot be reached"""


class EngineUnavailable(Unavailable):
    """No engine can serve this now"""


class GeneratorUnavailable(Unavailable):
    """The generator cannot be reached"""


class EndpointUnavailable(Unavailable):
    """The generator's LLM endpoint is down"""


class StoreUnavailable(Unavailable):
    """The object store cannot be reached"""


class CatalogueUnavailable(Unavailable):
    """The catalogue's database cannot be reached"""


class LeaseLost(LiftError):
    """The job is no longer held by this worker"""


class TimedOut(LiftError):
    """The deadline passed"""


class JobCancelled(LiftError):
    """The job was cancelled"""


class InternalError(LiftError):
    """Something went wrong inside the server"""


class WorkerLost(InternalError):
    """A process that trained beside others on a device of its own is lost"""
