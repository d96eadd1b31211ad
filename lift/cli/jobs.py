"""`lift jobs`: trainings and deletions."""

from pathlib import Path
from typing import Annotated

import typer

from lift.cli import options, output
from lift.values import Job, JobKind, JobOverview, JobState

app = typer.Typer(help="List, show, watch, cancel, retry and delete jobs.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Its id.")]


@app.command("list")
def list_(state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """List all jobs, newest first."""
    from lift.client import Client

    with Client(state_dir=state) as client:
        output.print_rows("jobs", client.jobs.list(), ("id", "kind", "adapter", "state", "reason"), as_json)


@app.command()
def show(
    job: JobId,
    timeline: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw when each stage ran: .png, .svg.")] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Show one job, and its stages as a picture where that is wanted."""
    from lift.client import Client

    if timeline is not None:
        from lift import pictures
        from lift.cli.timeline import OPTION, write

        pictures.checked(timeline, OPTION)
    with Client(state_dir=state) as client:
        found = client.jobs.get(job)
    if timeline is not None:
        write(found, timeline)
    output.print_object(found, as_json)


@app.command()
def watch(job: JobId, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """Follow a job until it has ended."""
    from lift.cli.progress import followed
    from lift.client import Client

    with Client(state_dir=state) as client:
        ended = followed(client.jobs.watch(job))
    if ended.error is not None:
        raise ended.error
    output.print_object(ended, as_json)


@app.command()
def cancel(job: JobId, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """Ask a training to stop, and say whether it does."""
    from lift.client import Client

    # Asked for afterwards: a job that still ran a moment before may have ended when the cancellation came.
    with Client(state_dir=state) as client:
        client.jobs.cancel(job)
        found = client.jobs.get(job)
    print_cancelled(found, as_json)


def print_cancelled(job: Job | JobOverview, as_json: bool) -> None:
    """What became of a job that was to be cancelled: a JSON object, or a sentence."""
    if as_json:
        output.print_object(job, as_json)
    elif job.state is JobState.CANCELLED:
        output.line("The job is cancelled")
    elif job.state.ended:
        output.line(f"The job had ended before it could be cancelled: {job.state}")
    elif job.kind is JobKind.DELETE:
        output.line("The job goes on: it deletes an adapter, which is not cancelled")
    else:
        output.line("The job has been asked to stop")


@app.command()
def retry(job: JobId, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """Resume a training that failed or was cancelled; no question is written twice."""
    from lift.client import Client

    with Client(state_dir=state) as client:
        output.print_object(client.jobs.retry(job), as_json)


@app.command()
def delete(job: JobId, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """Forget a job that has ended."""
    from lift.client import Client

    with Client(state_dir=state) as client:
        client.jobs.delete(job)
    output.print_nothing(as_json)
