"""Administration over gRPC: tenants, keys, jobs and nodes."""

from datetime import timedelta
from functools import partial

import pytest
from google.longrunning import operations_pb2

from lift import errors, status
from lift.v1 import admin_pb2 as pb
from lift.v1 import documents_pb2
from lift.v1.adapters_pb2 import TrainingMetadata as Metadata
from lift.values import JobKind, Stage
from storage.catalogue.database import now
from storage.records import Progress


@pytest.fixture
def operator(gateway):
    """The operator's stub."""
    return gateway.with_key("operator-key", admin=True).admin


async def test_a_tenant_and_its_key_work_as_soon_as_they_are_made(gateway, operator):
    quotas = pb.Quotas(max_documents=1)
    tenant = await operator.CreateTenant(
        pb.CreateTenantRequest(tenant=pb.Tenant(title="Acme", quotas=quotas), tenant_id="acme")
    )
    assert (tenant.name, tenant.title, tenant.quotas) == ("tenants/acme", "Acme", quotas)
    made = await operator.CreateKey(pb.CreateKeyRequest(parent=tenant.name, title="laptop"))
    assert made.secret.startswith("lift_")
    client = gateway.with_key(made.secret)
    await client.documents.ListDocuments(documents_pb2.ListDocumentsRequest())
    listed = await operator.ListKeys(pb.ListKeysRequest(parent=tenant.name))
    assert list(listed.keys) == [made.key]
    assert made.secret not in str(listed)


async def test_a_tenant_without_an_id_is_given_one(operator):
    made = await operator.CreateTenant(pb.CreateTenantRequest())
    assert made.name.startswith("tenants/tenant-")
    assert await operator.GetTenant(pb.GetTenantRequest(name=made.name)) == made


async def test_tenants_are_listed_in_pages_and_changed(operator):
    for id_ in ("one", "two"):
        await operator.CreateTenant(pb.CreateTenantRequest(tenant_id=id_))
    page = await operator.ListTenants(pb.ListTenantsRequest(page_size=1))
    assert [tenant.name for tenant in page.tenants] == ["tenants/two"]
    rest = await operator.ListTenants(pb.ListTenantsRequest(page_size=1, page_token=page.next_page_token))
    assert [tenant.name for tenant in rest.tenants] == ["tenants/one"]
    changed = pb.Tenant(name="tenants/one", title="First", quotas=pb.Quotas(max_adapters=2))
    updated = await operator.UpdateTenant(pb.UpdateTenantRequest(tenant=changed))
    assert (updated.title, updated.quotas.max_adapters) == ("First", 2)


async def test_a_changed_quota_holds_at_once(gateway, operator, refused):
    client = gateway.tenant("acme")
    await client.documents.ListDocuments(documents_pb2.ListDocumentsRequest())
    await operator.UpdateTenant(
        pb.UpdateTenantRequest(tenant=pb.Tenant(name="tenants/acme", quotas=pb.Quotas(max_document_bytes=1)))
    )
    described = documents_pb2.Document(media_type="text/plain")
    request = documents_pb2.CreateDocumentRequest(document=described, content=b"Too much.")
    assert type(await refused(client.documents.CreateDocument(request))) is errors.QuotaExceeded


async def test_a_deleted_tenants_keys_stop_working(gateway, operator, refused):
    client = gateway.tenant("acme")
    await client.documents.ListDocuments(documents_pb2.ListDocumentsRequest())
    await operator.DeleteTenant(pb.DeleteTenantRequest(name="tenants/acme"))
    error = await refused(client.documents.ListDocuments(documents_pb2.ListDocumentsRequest()))
    assert type(error) is errors.CredentialWrong


async def test_a_deleted_tenants_bytes_are_gone_with_it(gateway, operator, refused, monkeypatch):
    def away(_):
        raise errors.StoreUnavailable

    client = gateway.tenant("acme")
    await client.documents.ListDocuments(documents_pb2.ListDocumentsRequest())
    gateway.tenant("acme-2")
    for key in ("acme/documents/doc-1/x", "acme/adapters/tides/revisions/x/y", "acme/journals/job-1/1"):
        gateway.objects.put(key, b"left by a call that broke off")
    gateway.objects.put("acme-2/documents/doc-1/x", b"another tenant's")
    request = pb.DeleteTenantRequest(name="tenants/acme")
    with monkeypatch.context() as patch:
        patch.setattr(gateway.objects, "delete", away)
        assert type(await refused(operator.DeleteTenant(request))) is errors.StoreUnavailable
    error = await refused(client.documents.ListDocuments(documents_pb2.ListDocumentsRequest()))
    assert type(error) is errors.CredentialWrong
    await operator.DeleteTenant(request)
    assert list(gateway.objects.list("")) == ["acme-2/documents/doc-1/x"]
    assert type(await refused(operator.DeleteTenant(request))) is errors.TenantMissing


async def test_a_tenant_that_has_something_left_stays(gateway, operator, refused):
    gateway.tenant("acme")
    gateway.document("acme")
    error = await refused(operator.DeleteTenant(pb.DeleteTenantRequest(name="tenants/acme")))
    assert type(error) is errors.TenantInUse
    assert len(list(gateway.objects.list("acme/documents/"))) == 1


async def test_a_node_is_alive_by_the_catalogues_clock_whatever_this_machines_says(running, monkeypatch):
    behind = timedelta(hours=1)
    monkeypatch.setattr("storage.catalogue.nodes.now", lambda connection: now(connection) - behind)
    async with running(node_timeout_seconds=600) as gateway:
        operator = gateway.with_key("operator-key", admin=True)
        (node,) = (await operator.admin.ListNodes(pb.ListNodesRequest())).nodes
        assert node.alive
        behind = timedelta(minutes=45)
        (node,) = (await operator.admin.ListNodes(pb.ListNodesRequest())).nodes
        assert not node.alive


async def test_nodes_are_listed_and_drained(gateway, operator):
    (node,) = (await operator.ListNodes(pb.ListNodesRequest())).nodes
    assert (node.name, node.address, node.alive, node.draining) == (
        "nodes/engine-1",
        gateway.engine.address,
        True,
        False,
    )
    assert (await operator.DrainNode(pb.DrainNodeRequest(name=node.name, drain=True))).draining
    assert not (await operator.DrainNode(pb.DrainNodeRequest(name=node.name))).draining


async def test_jobs_of_all_tenants_are_listed_in_pages(gateway, operator):
    for tenant in ("acme", "other"):
        gateway.tenant(tenant)
    held, queued = gateway.training("acme", "tides"), gateway.training("other", "bells")
    lease = gateway.catalogue.leases.claim(held, JobKind.TRAIN, "gpu-7", 60)
    gateway.catalogue.leases.heartbeat(lease, 60, Progress(stage=Stage.GENERATE, pairs=4))
    page = await operator.ListJobs(pb.ListJobsRequest(parent="tenants/-", page_size=1))
    (job,) = page.jobs
    assert (job.name, job.adapter) == (f"tenants/acme/jobs/{held}", "tenants/acme/adapters/tides")
    assert (job.kind, job.state, job.stage) == (pb.Job.KIND_TRAIN, Metadata.STATE_RUNNING, Metadata.STAGE_GENERATE)
    assert (job.worker, job.attempts, job.crashes, job.reason) == ("gpu-7", 1, 0, "")
    assert job.create_time.ToDatetime() <= job.start_time.ToDatetime() < job.lease_expire_time.ToDatetime()
    request = pb.ListJobsRequest(parent="tenants/-", page_size=1, page_token=page.next_page_token)
    rest = await operator.ListJobs(request)
    assert ([job.name for job in rest.jobs], rest.next_page_token) == ([f"tenants/other/jobs/{queued}"], "")
    assert not rest.jobs[0].HasField("start_time")


async def test_jobs_are_listed_of_one_tenant_by_state_and_from_either_end(gateway, operator):
    for tenant in ("acme", "other"):
        gateway.tenant(tenant)
    first, second = gateway.training("acme", "tides"), gateway.training("acme", "bells", "It rang.")
    gateway.training("other", "bells")
    gateway.catalogue.jobs.request_cancel("acme", first)

    async def listed(**wanted):
        response = await operator.ListJobs(pb.ListJobsRequest(parent="tenants/acme", **wanted))
        return [job.name.rpartition("/")[2] for job in response.jobs]

    assert await listed() == [first, second]
    assert await listed(newest_first=True) == [second, first]
    assert await listed(states=[Metadata.STATE_CANCELLED, Metadata.STATE_CANCELLED]) == [first]
    assert await listed(states=[Metadata.STATE_QUEUED, Metadata.STATE_RUNNING]) == [second]


async def test_an_operator_reads_nothing_of_what_tenants_wrote(gateway, operator):
    gateway.tenant("acme")
    document = gateway.document("acme", "The tide bell of Brinmoor rings.")
    options = {"custom_prompt": "Ask about Brinmoor."}
    gateway.catalogue.adapters.create(
        "acme", id="tides", title="Brinmoor", documents=[document], base_model="tiny", options=options
    )
    listed = await operator.ListJobs(pb.ListJobsRequest(parent="tenants/-"))
    assert len(listed.jobs) == 1
    assert "Brinmoor" not in str(listed)


async def test_an_operator_cancels_a_tenants_training(gateway, operator):
    client = gateway.tenant("acme")
    job = gateway.training("acme", "tides")
    cancelled = await operator.CancelJob(pb.CancelJobRequest(name=f"tenants/acme/jobs/{job}"))
    assert (cancelled.state, cancelled.HasField("end_time")) == (Metadata.STATE_CANCELLED, True)
    assert await operator.CancelJob(pb.CancelJobRequest(name=cancelled.name)) == cancelled
    operation = await client.operations.GetOperation(operations_pb2.GetOperationRequest(name=f"operations/{job}"))
    assert type(status.from_proto(operation.error)) is errors.JobCancelled


async def test_a_trainer_hears_that_an_operator_cancels_its_job(gateway, operator):
    gateway.tenant("acme")
    job = gateway.training("acme", "tides")
    lease = gateway.catalogue.leases.claim(job, JobKind.TRAIN, "gpu-7", 60)
    asked = await operator.CancelJob(pb.CancelJobRequest(name=f"tenants/acme/jobs/{job}"))
    assert (asked.state, asked.cancel_requested) == (Metadata.STATE_RUNNING, True)
    assert gateway.catalogue.leases.heartbeat(lease, 60)


async def test_keys_and_nodes_are_listed_in_pages(running):
    async with running(engines=2) as gateway:
        gateway.tenant("acme")
        gateway.catalogue.keys.create("acme", "second")
        operator = gateway.with_key("operator-key", admin=True).admin
        for listed, request, rows in (
            (operator.ListKeys, partial(pb.ListKeysRequest, parent="tenants/acme"), lambda page: list(page.keys)),
            (operator.ListNodes, pb.ListNodesRequest, lambda page: list(page.nodes)),
        ):
            whole = await listed(request())
            assert (len(rows(whole)), whole.next_page_token) == (2, "")
            first = await listed(request(page_size=1))
            rest = await listed(request(page_size=1, page_token=first.next_page_token))
            assert rows(first) + rows(rest) == rows(whole)
            assert rest.next_page_token == ""


async def test_bad_administration_is_refused(gateway, operator, refused):
    gateway.tenant("acme")
    for call, kind in (
        (operator.CreateTenant(pb.CreateTenantRequest(tenant_id="acme")), errors.TenantExists),
        (operator.CreateTenant(pb.CreateTenantRequest(tenant_id="system")), errors.TenantExists),
        (operator.CreateTenant(pb.CreateTenantRequest(tenant_id="No Good")), errors.MalformedName),
        (
            operator.CreateTenant(pb.CreateTenantRequest(tenant=pb.Tenant(quotas=pb.Quotas(max_adapters=-1)))),
            errors.InvalidOption,
        ),
        (operator.CreateTenant(pb.CreateTenantRequest(tenant=pb.Tenant(title="t" * 201))), errors.InvalidOption),
        (operator.GetTenant(pb.GetTenantRequest(name="tenants/none")), errors.TenantMissing),
        (operator.GetTenant(pb.GetTenantRequest(name="none")), errors.MalformedName),
        (operator.UpdateTenant(pb.UpdateTenantRequest(tenant=pb.Tenant(name="tenants/none"))), errors.TenantMissing),
        (operator.DeleteTenant(pb.DeleteTenantRequest(name="tenants/none")), errors.TenantMissing),
        (operator.CreateKey(pb.CreateKeyRequest(parent="tenants/none")), errors.TenantMissing),
        (operator.ListKeys(pb.ListKeysRequest(parent="tenants/none")), errors.TenantMissing),
        (operator.RevokeKey(pb.RevokeKeyRequest(name="tenants/acme/keys/none")), errors.KeyMissing),
        (operator.RevokeKey(pb.RevokeKeyRequest(name="tenants/acme")), errors.MalformedName),
        (operator.DrainNode(pb.DrainNodeRequest(name="nodes/none")), errors.NodeMissing),
        (operator.ListKeys(pb.ListKeysRequest(parent="tenants/acme", page_size=-1)), errors.InvalidOption),
        (operator.ListNodes(pb.ListNodesRequest(page_token="nonsense")), errors.MalformedPageToken),
        (operator.ListJobs(pb.ListJobsRequest()), errors.MalformedName),
        (operator.ListJobs(pb.ListJobsRequest(parent="tenants/none")), errors.TenantMissing),
        (operator.ListJobs(pb.ListJobsRequest(parent="tenants/-", states=[0])), errors.InvalidOption),
        (operator.ListJobs(pb.ListJobsRequest(parent="tenants/-", states=[99])), errors.InvalidOption),
        (operator.ListJobs(pb.ListJobsRequest(parent="tenants/-", page_token="nonsense")), errors.MalformedPageToken),
        (operator.CancelJob(pb.CancelJobRequest(name="tenants/acme/jobs/job-none")), errors.JobMissing),
        (operator.CancelJob(pb.CancelJobRequest(name="tenants/-/jobs/job-none")), errors.MalformedName),
        (operator.CancelJob(pb.CancelJobRequest(name="operations/job-none")), errors.MalformedName),
        (operator.ListTenants(pb.ListTenantsRequest(page_token="nonsense")), errors.MalformedPageToken),
    ):
        assert type(await refused(call)) is kind
    assert [tenant.id for tenant in gateway.catalogue.tenants.list().items] == ["acme"]
