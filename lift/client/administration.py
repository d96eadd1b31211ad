"""`AdminClient`: an operator's calls: tenants, their keys, quotas and jobs, and the engine nodes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from lift import values
from lift.client import reading
from lift.client.call import Call, Listing, Page
from lift.client.connection import operator_connection
from lift.client.synchronous import Channel
from lift.ids import name_of
from lift.v1 import admin_pb2 as pb
from lift.v1.adapters_pb2 import TrainingMetadata
from lift.v1.admin_pb2_grpc import AdminServiceStub

T = TypeVar("T")


class AdminClient:
    """An operator's connection to a gateway's administration port.

    Where address and key are not given they come from LIFT_ADMIN_ADDRESS and LIFT_OPERATOR_KEY, or from the client file
    of `state_dir` (LIFT_STATE_DIR, .lift). AdminDisabled: the gateway has no operator key.
    """

    def __init__(
        self, address: str | None = None, key: str | None = None, *, state_dir: Path | str | None = None
    ) -> None:
        folder = Path(state_dir) if state_dir is not None else None
        self._channel = Channel(operator_connection(address, key, folder))
        self.tenants = Tenants(self._channel)
        self.keys = Keys(self._channel)
        self.jobs = Jobs(self._channel)
        self.nodes = Nodes(self._channel)

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Tenants:
    """Who owns documents and adapters."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def create(self, id: str | None = None, *, title: str = "", quotas: values.Quotas | None = None) -> values.Tenant:
        """A new tenant, without keys. TenantExists."""
        request = pb.CreateTenantRequest(tenant=_tenant(title, quotas), tenant_id=id or "")
        return self._channel.value(_call("CreateTenant", request, reading.tenant))

    def get(self, tenant: str) -> values.Tenant:
        """One tenant. TenantMissing."""
        request = pb.GetTenantRequest(name=name_of("tenants", tenant))
        return self._channel.value(_call("GetTenant", request, reading.tenant))

    def list(self) -> Iterator[values.Tenant]:
        """All tenants, newest first."""
        return self._channel.items(_listing("ListTenants", pb.ListTenantsRequest, "tenants", reading.tenant))

    def update(self, tenant: str, *, title: str, quotas: values.Quotas) -> values.Tenant:
        """The tenant with another title and other quotas."""
        changed = _tenant(title, quotas)
        changed.name = name_of("tenants", tenant)
        return self._channel.value(_call("UpdateTenant", pb.UpdateTenantRequest(tenant=changed), reading.tenant))

    def delete(self, tenant: str) -> None:
        """Deletes a tenant and revokes its keys. TenantInUse: it still has documents or adapters."""
        request = pb.DeleteTenantRequest(name=name_of("tenants", tenant))
        self._channel.value(_call("DeleteTenant", request, reading.nothing))


class Keys:
    """Credentials of tenants."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def create(self, tenant: str, *, title: str = "") -> values.NewKey:
        """A new key with its secret, which can be had this once."""
        request = pb.CreateKeyRequest(parent=name_of("tenants", tenant), title=title)
        return self._channel.value(
            _call(
                "CreateKey",
                request,
                lambda response: values.NewKey(key=reading.key(response.key), secret=response.secret),
            )
        )

    def list(self, tenant: str) -> Iterator[values.Key]:
        """All keys of a tenant, newest first, without secrets."""
        request = partial(pb.ListKeysRequest, parent=name_of("tenants", tenant))
        return self._channel.items(_listing("ListKeys", request, "keys", reading.key))

    def revoke(self, tenant: str, key: str) -> None:
        """Makes calls with a key fail from now on. KeyMissing."""
        request = pb.RevokeKeyRequest(name=name_of("tenants", tenant, "keys", key))
        self._channel.value(_call("RevokeKey", request, reading.nothing))


class Jobs:
    """Trainings and deletions of all tenants."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def list(
        self, states: Iterable[values.JobState] = (), *, tenant: str | None = None, newest_first: bool = False
    ) -> Iterator[values.JobOverview]:
        """All jobs in such states (in any), of all tenants or of one, oldest first or newest first. TenantMissing."""
        wanted = [TrainingMetadata.State.Value(f"STATE_{state.name}") for state in states]
        parent = name_of("tenants", tenant or "-")
        request = partial(pb.ListJobsRequest, parent=parent, states=wanted, newest_first=newest_first)
        return self._channel.items(_listing("ListJobs", request, "jobs", reading.job_overview))

    def cancel(self, tenant: str, job: str) -> values.JobOverview:
        """The job, a training that is asked to stop; one that has ended and a deletion stay as they are. JobMissing."""
        request = pb.CancelJobRequest(name=name_of("tenants", tenant, "jobs", job))
        return self._channel.value(_call("CancelJob", request, reading.job_overview))


class Nodes:
    """The engines."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def list(self) -> Iterator[values.Node]:
        """All engines that reported, by their ids."""
        return self._channel.items(_listing("ListNodes", pb.ListNodesRequest, "nodes", reading.node))

    def drain(self, node: str, drain: bool = True) -> values.Node:
        """The node, which gets no new queries and adapters, or gets them again. NodeMissing."""
        request = pb.DrainNodeRequest(name=name_of("nodes", node), drain=drain)
        return self._channel.value(_call("DrainNode", request, reading.node))


def _call(method: str, request: Any, read: Callable[[Any], T]) -> Call[T]:
    return Call(stub=AdminServiceStub, method=method, request=lambda: request, read=read)


def _listing(method: str, request: Callable[..., Any], rows: str, read: Callable[[Any], T]) -> Listing[T]:
    """The pages of a listing; `request` makes that of a `page_token`, `rows` is the response's field."""

    def page(token: str) -> Call[Page[T]]:
        return _call(
            method,
            request(page_token=token),
            lambda response: reading.page(getattr(response, rows), read, response.next_page_token),
        )

    return page


def _tenant(title: str, quotas: values.Quotas | None) -> pb.Tenant:
    return pb.Tenant(title=title, quotas=pb.Quotas(**asdict(quotas)) if quotas else None)
