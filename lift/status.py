"""The one table between our errors and gRPC statuses, both ways (google.rpc.Status with one ErrorInfo, AIP-193)."""

from typing import NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from lift import errors

DOMAIN = "lift.v1"

CODES: dict[type[errors.LiftError], grpc.StatusCode] = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.Precondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Exhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.LeaseLost: grpc.StatusCode.ABORTED,
    errors.TimedOut: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.JobCancelled: grpc.StatusCode.CANCELLED,
    errors.InternalError: grpc.StatusCode.INTERNAL,
}
_BRANCHES = {code: branch for branch, code in CODES.items()}


def code_of(error: errors.LiftError) -> grpc.StatusCode:
    """The gRPC code of an error: that of its branch of the tree."""
    return next((code for branch, code in CODES.items() if isinstance(error, branch)), grpc.StatusCode.INTERNAL)


def to_proto(error: errors.LiftError) -> status_pb2.Status:
    """google.rpc.Status with the message and one ErrorInfo: reason, domain, facts."""
    info = error_details_pb2.ErrorInfo(
        reason=error.reason(),
        domain=DOMAIN,
        metadata={name: str(value) for name, value in error.facts.items()},
    )
    detail = any_pb2.Any()
    detail.Pack(info)
    return status_pb2.Status(code=code_of(error).value[0], message=str(error), details=[detail])


def from_proto(status: status_pb2.Status) -> errors.LiftError:
    """The error that `to_proto` was given; a foreign status becomes the branch of its code."""
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info) and info.domain == DOMAIN:
            kind = errors.LiftError.of_reason(info.reason)
            if kind is not None:
                # A map has no order: that of the message.
                return kind(**dict(sorted(info.metadata.items(), key=lambda fact: status.message.find(f"{fact[0]}: "))))
    code = next((code for code in grpc.StatusCode if code.value[0] == status.code), grpc.StatusCode.UNKNOWN)
    branch = _BRANCHES.get(code, errors.InternalError)
    return branch(code=code_pb2.Code.Name(code.value[0]), message=status.message)


def from_call(error: grpc.RpcError) -> errors.LiftError:
    """The error behind a failed call, of either the synchronous or the asyncio client."""
    status = rpc_status.from_call(error)
    if status is None:
        status = status_pb2.Status(code=error.code().value[0], message=error.details() or "")
    return from_proto(status)


async def abort(context: grpc.aio.ServicerContext, error: errors.LiftError) -> NoReturn:  # type: ignore[type-arg]
    """Ends an asyncio call with the error's status."""
    status = rpc_status.to_status(to_proto(error))
    await context.abort(status.code, status.details, status.trailing_metadata)
    raise AssertionError("abort returned")
