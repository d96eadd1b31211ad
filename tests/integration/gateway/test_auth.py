"""Who may call what: every method of every service, with no key, a wrong one, a revoked one, and another role's."""

import asyncio
from itertools import chain

import grpc
import pytest
from google.longrunning import operations_pb2
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from lift import errors
from lift.serving import calls
from lift.v1 import adapters_pb2, admin_pb2, documents_pb2, queries_pb2

TENANT_METHODS = [
    method
    for file in (documents_pb2, adapters_pb2, queries_pb2, operations_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
ADMIN_METHODS = list(admin_pb2.DESCRIPTOR.services_by_name["AdminService"].methods)


def call_of(channel, method, authorization):
    """A call of any method with an empty request."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    request = GetMessageClass(method.input_type)()
    kind = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
    }[(method.client_streaming, method.server_streaming)]
    callable_ = kind(path, lambda message: message.SerializeToString(), GetMessageClass(method.output_type).FromString)
    metadata = () if authorization is None else (("authorization", authorization),)
    return callable_(iter([request]) if method.client_streaming else request, metadata=metadata)


def unsent(channel, name, authorization, timeout=None):
    """A call of one of a tenant's methods that has sent its metadata, and as yet no request."""
    method = next(method for method in TENANT_METHODS if method.name == name)
    path = f"/{method.containing_service.full_name}/{name}"
    metadata = () if authorization is None else (("authorization", authorization),)
    return channel.stream_stream(path)(metadata=metadata, timeout=timeout)


@pytest.fixture
def channel_to(gateway):
    """channel_to("tenants" or "admin")."""

    def opened(port):
        gateway.channels.append(grpc.aio.insecure_channel(f"127.0.0.1:{getattr(gateway.ports, port)}"))
        return gateway.channels[-1]

    return opened


@pytest.mark.parametrize(
    ("authorization", "kind"),
    [
        (None, errors.CredentialMissing),
        ("", errors.CredentialMissing),
        ("Bearer ", errors.CredentialMissing),
        ("Basic bGlmdDpsaWZ0", errors.CredentialMissing),
        ("Bearer lift_wrong", errors.CredentialWrong),
        ("Bearer operator-key", errors.CredentialWrong),
        ("Bearer node-token", errors.CredentialWrong),
    ],
)
async def test_no_method_of_a_tenants_works_without_a_tenants_key(gateway, channel_to, refused, authorization, kind):
    channel = channel_to("tenants")
    for method in TENANT_METHODS:
        assert type(await refused(call_of(channel, method, authorization))) is kind, method.full_name


async def test_no_method_works_with_a_revoked_key(gateway, channel_to, refused):
    channel = channel_to("tenants")
    secret = gateway.key_of("acme")
    listing = next(method for method in TENANT_METHODS if method.name == "ListDocuments")
    await call_of(channel, listing, f"Bearer {secret}")
    operator = gateway.with_key("operator-key", admin=True).admin
    key = gateway.catalogue.keys.list("acme").items[0]
    await operator.RevokeKey(admin_pb2.RevokeKeyRequest(name=f"tenants/acme/keys/{key.id}"))
    for method in TENANT_METHODS:
        assert type(await refused(call_of(channel, method, f"Bearer {secret}"))) is errors.CredentialWrong


async def test_a_key_that_another_gateway_revoked_stops_working_within_seconds(gateway):
    client = gateway.tenant("acme")
    await client.documents.ListDocuments(documents_pb2.ListDocumentsRequest())
    gateway.catalogue.keys.revoke("acme", gateway.catalogue.keys.list("acme").items[0].id)
    with pytest.raises(grpc.aio.AioRpcError) as failed:  # noqa: PT012 - it works until the key is forgotten
        async with asyncio.timeout(30):
            while True:
                await client.documents.ListDocuments(documents_pb2.ListDocumentsRequest())
    assert failed.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic operator-key", "operator-key"])
async def test_no_method_of_operators_works_without_their_key(gateway, channel_to, refused, authorization):
    channel = channel_to("admin")
    for method in ADMIN_METHODS:
        assert isinstance(await refused(call_of(channel, method, authorization)), errors.Unauthenticated)


async def test_a_tenants_key_opens_no_method_of_operators(gateway, channel_to, refused):
    channel = channel_to("admin")
    secret = gateway.key_of("acme")
    for method in ADMIN_METHODS:
        assert type(await refused(call_of(channel, method, f"Bearer {secret}"))) is errors.CredentialWrong


async def test_each_port_has_its_own_services_only(gateway, channel_to):
    for port, methods, key in (("tenants", ADMIN_METHODS, "operator-key"), ("admin", TENANT_METHODS, "operator-key")):
        for method in methods:
            call = call_of(channel_to(port), method, f"Bearer {key}")
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await (anext(aiter(call)) if hasattr(call, "__aiter__") else call)
            assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_without_an_operator_key_administration_is_off(running, refused):
    async with running(operator_key="") as gateway:
        for secret in ("", "anything"):
            operator = gateway.with_key(secret, admin=True).admin
            error = await refused(operator.ListTenants(admin_pb2.ListTenantsRequest()))
            assert type(error) is errors.AdminDisabled


async def test_the_log_has_the_reason_of_a_call_that_was_refused(gateway, refused, eventually):
    client = gateway.tenant("acme")
    with capture_logs() as logged:
        await refused(client.adapters.GetAdapter(adapters_pb2.GetAdapterRequest(name="adapters/nope")))
        await client.adapters.ListAdapters(adapters_pb2.ListAdaptersRequest())
        await eventually(lambda: sum(line["event"] == "call_ended" for line in logged) == 2)
    ended = [(line["code"], line.get("reason")) for line in logged if line["event"] == "call_ended"]
    assert sorted(ended, key=str) == [("NOT_FOUND", "ADAPTER_MISSING"), ("OK", None)]


async def test_health_and_reflection_need_no_key(gateway, channel_to):
    for port, services in (
        ("tenants", ["lift.v1.QueryService", "google.longrunning.Operations"]),
        ("admin", ["lift.v1.AdminService"]),
    ):
        health = health_pb2_grpc.HealthStub(channel_to(port))
        for service in services:
            checked = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert checked.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel_to(port))
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="*")])
        answers = [answer async for answer in reflection.ServerReflectionInfo(asked)]
        listed = {service.name for service in chain(*(a.list_services_response.service for a in answers))}
        assert listed >= set(services)


async def test_an_over_long_key_is_refused_like_any_other(gateway, channel_to):
    call = call_of(channel_to("tenants"), TENANT_METHODS[0], "Bearer " + "x" * 100_000)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    assert failed.value.code() in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAUTHENTICATED}


@pytest.mark.parametrize("name", ["CreateDocument", "UploadDocument", "StreamQuery"])
async def test_a_call_without_a_key_is_refused_before_its_request_has_come(gateway, channel_to, name):
    call = unsent(channel_to("tenants"), name, None)
    async with asyncio.timeout(60):
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
    assert dict(await call.trailing_metadata())["x-request-id"]


async def test_a_request_that_does_not_come_is_waited_for_within_the_gateways_own_deadline(
    gateway, channel_to, monkeypatch
):
    monkeypatch.setattr(calls, "DEADLINE_SECONDS", 0.2)
    call = unsent(channel_to("tenants"), "CreateDocument", f"Bearer {gateway.key_of('acme')}", timeout=3600)
    async with asyncio.timeout(60):
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_call_that_ends_without_a_request_is_refused(gateway, channel_to):
    call = unsent(channel_to("tenants"), "CreateDocument", f"Bearer {gateway.key_of('acme')}")
    await call.done_writing()
    async with asyncio.timeout(60):
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
