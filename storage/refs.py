"""A revision's name, in the words of the engines' contract and in ours."""

from lift.internal.v1 import engine_pb2 as pb
from storage.records import RevisionRef


def to_message(ref: RevisionRef) -> pb.RevisionRef:
    """As engines are told it."""
    return pb.RevisionRef(tenant=ref.tenant, adapter=ref.adapter, digest=ref.digest)


def of_message(message: pb.RevisionRef) -> RevisionRef:
    """As an engine was told it."""
    return RevisionRef(tenant=message.tenant, adapter=message.adapter, digest=message.digest)
