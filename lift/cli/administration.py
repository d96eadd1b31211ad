"""`lift admin`: what an operator does: tenants, their keys and jobs, and the engine nodes."""

from dataclasses import replace
from typing import Annotated

import typer

from lift import limits
from lift.cli import options, output
from lift.cli.jobs import JobId, print_cancelled
from lift.values import JobState

app = typer.Typer(help="Tenants, keys, jobs and nodes, with the operator's key.", no_args_is_help=True)
tenants = typer.Typer(help="Create, list, show, change and delete tenants.", no_args_is_help=True)
keys = typer.Typer(help="Create, list and revoke keys.", no_args_is_help=True)
jobs = typer.Typer(help="List and cancel jobs of all tenants.", no_args_is_help=True)
nodes = typer.Typer(help="List and drain engine nodes.", no_args_is_help=True)
app.add_typer(tenants, name="tenants")
app.add_typer(keys, name="keys")
app.add_typer(jobs, name="jobs")
app.add_typer(nodes, name="nodes")

Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="Its id.")]
OF_LIMIT = typer.Option(min=0, max=limits.MAX_INT32, help="0 is no limit.")
OF_BYTES = typer.Option(min=0, max=limits.MAX_INT64, help="0 is no limit.")
Limit = Annotated[int, OF_LIMIT]
Bytes = Annotated[int, OF_BYTES]
OtherLimit = Annotated[int | None, OF_LIMIT]
OtherBytes = Annotated[int | None, OF_BYTES]

JOB_COLUMNS = (
    "tenant",
    "id",
    "kind",
    "adapter",
    "state",
    "attempts",
    "crashes",
    "worker",
    "created_at",
    "started_at",
    "reason",
)


@tenants.command("create")
def create_tenant(
    tenant: Annotated[str | None, typer.Argument(metavar="[TENANT]", help="Its id; made up where absent.")] = None,
    *,
    title: Annotated[str, typer.Option(help="What people call it.")] = "",
    max_documents: Limit = 0,
    max_document_bytes: Bytes = 0,
    max_adapters: Limit = 0,
    max_active_jobs: Limit = 0,
    max_concurrent_queries: Limit = 0,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Create a tenant, without keys."""
    from lift.client import AdminClient
    from lift.values import Quotas

    quotas = Quotas(
        max_documents=max_documents,
        max_document_bytes=max_document_bytes,
        max_adapters=max_adapters,
        max_active_jobs=max_active_jobs,
        max_concurrent_queries=max_concurrent_queries,
    )
    with AdminClient(state_dir=state) as client:
        output.print_object(client.tenants.create(tenant, title=title, quotas=quotas), as_json)


@tenants.command("list")
def list_tenants(state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """List all tenants, newest first."""
    from lift.client import AdminClient

    with AdminClient(state_dir=state) as client:
        output.print_rows("tenants", client.tenants.list(), ("id", "title", "created_at"), as_json)


@tenants.command("show")
def show_tenant(tenant: Tenant, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """Show a tenant and its quotas."""
    from lift.client import AdminClient

    with AdminClient(state_dir=state) as client:
        output.print_object(client.tenants.get(tenant), as_json)


@tenants.command("update")
def update_tenant(
    tenant: Tenant,
    *,
    title: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    max_documents: OtherLimit = None,
    max_document_bytes: OtherBytes = None,
    max_adapters: OtherLimit = None,
    max_active_jobs: OtherLimit = None,
    max_concurrent_queries: OtherLimit = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Change a tenant's title and quotas; what is not given stays."""
    from lift.client import AdminClient

    given = {
        "max_documents": max_documents,
        "max_document_bytes": max_document_bytes,
        "max_adapters": max_adapters,
        "max_active_jobs": max_active_jobs,
        "max_concurrent_queries": max_concurrent_queries,
    }
    with AdminClient(state_dir=state) as client:
        found = client.tenants.get(tenant)
        quotas = replace(found.quotas, **{name: limit for name, limit in given.items() if limit is not None})
        changed = client.tenants.update(tenant, title=found.title if title is None else title, quotas=quotas)
    output.print_object(changed, as_json)


@tenants.command("delete")
def delete_tenant(tenant: Tenant, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """Delete a tenant that has no documents and adapters left, and revoke its keys."""
    from lift.client import AdminClient

    with AdminClient(state_dir=state) as client:
        client.tenants.delete(tenant)
    output.print_nothing(as_json)


@keys.command("create")
def create_key(
    tenant: Tenant,
    title: Annotated[str, typer.Option(help="What people call it.")] = "",
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Create a key; its secret is shown this once."""
    from lift.client import AdminClient

    with AdminClient(state_dir=state) as client:
        made = client.keys.create(tenant, title=title)
    output.print_object({**output.plain(made.key), "secret": made.secret}, as_json)


@keys.command("list")
def list_keys(tenant: Tenant, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """List a tenant's keys, newest first, without secrets."""
    from lift.client import AdminClient

    with AdminClient(state_dir=state) as client:
        output.print_rows("keys", client.keys.list(tenant), ("id", "title", "created_at", "revoked_at"), as_json)


@keys.command("revoke")
def revoke_key(
    tenant: Tenant,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id.")],
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Make calls with a key fail from now on."""
    from lift.client import AdminClient

    with AdminClient(state_dir=state) as client:
        client.keys.revoke(tenant, key)
    output.print_nothing(as_json)


@jobs.command("list")
def list_jobs(
    states: Annotated[
        list[JobState] | None, typer.Argument(metavar="[STATE]...", help="queued, waiting or running where absent.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only jobs of this one.")] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List jobs of all tenants, oldest first; newest first where ended ones are among them."""
    from lift.client import AdminClient

    wanted = states or [known for known in JobState if known.active]
    with AdminClient(state_dir=state) as client:
        listed = client.jobs.list(wanted, tenant=tenant, newest_first=any(known.ended for known in wanted))
        output.print_rows("jobs", listed, JOB_COLUMNS, as_json)


@jobs.command("cancel")
def cancel_job(
    tenant: Tenant,
    job: JobId,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Ask a tenant's training to stop, and say whether it does."""
    from lift.client import AdminClient

    with AdminClient(state_dir=state) as client:
        print_cancelled(client.jobs.cancel(tenant, job), as_json)


@nodes.command("list")
def list_nodes(state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """List all engines that reported."""
    from lift.client import AdminClient

    with AdminClient(state_dir=state) as client:
        columns = ("id", "address", "base_model", "slots", "resident", "draining", "alive")
        output.print_rows("nodes", client.nodes.list(), columns, as_json)


@nodes.command("drain")
def drain_node(
    node: Annotated[str, typer.Argument(metavar="NODE", help="Its id.")],
    undo: Annotated[bool, typer.Option("--undo", help="Put it back.")] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Give a node no new queries and adapters."""
    from lift.client import AdminClient

    with AdminClient(state_dir=state) as client:
        output.print_object(client.nodes.drain(node, not undo), as_json)
