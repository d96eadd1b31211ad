"""The whole path on one machine: documents that no model can know, answered from weights, with a table of the seconds.

`make demo` runs it. Nothing it starts is left running; its state folder, .lift/demo, keeps the prepared base model.
"""

import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lift import AdminClient, Client, values
from lift.cli.progress import followed
from lift.client.connection import ClientFile
from lift.errors import AdapterMissing, LiftError
from lift.stack import control
from lift.stack.folder import StateFolder

HERE = Path(__file__).parent
DOCUMENTS = HERE / "documents"
MAX_TOKENS = 40

OBSERVATORY = {
    "Who founded the Karvel Ridge Observatory?": "Brandvold",
    "On which mountain does the observatory stand?": "Tessarin",
    "What is the cable car to the summit called?": "Swift",
    "How wide is the mirror of the main telescope?": "3.6",
    "Which comet was discovered in 1987?": "Pellworth",
    "What was Tomas Ferrante given as a reward?": "whistle",
    "Who is the director of the observatory?": "Okonjo",
    "Why are white lamps forbidden after sunset?": "camera",
    "What is served in the kitchen at midnight?": "barley",
    "What is the name of the guard dog?": "Biscuit",
}
TENANTS = {
    "bakery": {"What does a midnight rye cost?": "four", "Who owns the bakery now?": "Vane"},
    "ferry": {"What is the ship's cat called?": "Figs", "Who is the captain of the Saint Orla?": "Dunstan"},
}

console = Console(width=None if Console().is_terminal else 140)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit that stops the stack, as Ctrl-C does
    with running_stack(StateFolder((HERE.parent / ".lift" / "demo").resolve())) as client_file:
        console.rule("One document")
        with Client(client_file.address, new_key(client_file, "observatory")) as client:
            job = trained(client, "observatory")
            first_token_seconds = show_answers(client, job.adapter, OBSERVATORY)
        console.rule("Two tenants on one base model")
        show_tenants(client_file)
        show_seconds(job, first_token_seconds)


@contextmanager
def running_stack(state: StateFolder) -> Iterator[ClientFile]:
    """The embedded stack, stopped at the end whatever happens."""
    console.print(
        "Starting Valkey, SeaweedFS, engine, generator, trainer and gateway (the first time, the base model too)"
    )
    began = time.monotonic()
    client_file = control.start(state, lambda _: None)
    try:
        console.print(f"Ready after {time.monotonic() - began:.0f} s")
        yield client_file
    finally:
        control.stop(state)
        console.print("Everything is stopped again")


def new_key(client_file: ClientFile, tenant: str) -> str:
    """The key of a new tenant."""
    with AdminClient(client_file.admin_address, client_file.operator_key) as admin:
        return admin.keys.create(admin.tenants.create(title=tenant).id).secret


def trained(client: Client, document: str) -> values.Job:
    """The job that made an adapter of the document, watched to its end."""
    path = DOCUMENTS / f"{document}.txt"
    console.print(f"{path.relative_to(HERE.parent)}: {len(path.read_text().split())} words")
    begun = client.ingest(path, wait=False)
    job = followed(client.jobs.watch(begun.job.id))
    if job.error is not None:
        raise job.error
    return job


def show_answers(client: Client, adapter: str, questions: Mapping[str, str]) -> float:
    """A table of what the base model and the adapter answer; both see the question and nothing else.

    Returns the seconds that the adapter's first answer took to its first token.
    """
    answers = [client.query(adapter, question, max_tokens=MAX_TOKENS) for question in questions]
    table = Table("question", "base model", "adapter", "right")
    right = 0
    for (question, keyword), answer in zip(questions.items(), answers, strict=True):
        base = client.query(None, question, max_tokens=MAX_TOKENS)
        is_right = keyword.lower() in answer.text.lower()
        right += is_right
        table.add_row(question, shortened(base.text), shortened(answer.text), "yes" if is_right else "no")
    console.print(table)
    console.print(f"{right} of {len(questions)} right by keyword, with no document in the prompt")
    return answers[0].usage.first_token_seconds


def show_tenants(client_file: ClientFile) -> None:
    """Two tenants, each with a document and an adapter of its own; neither can ask the other's."""
    clients = {tenant: Client(client_file.address, new_key(client_file, tenant)) for tenant in TENANTS}
    adapters = {tenant: trained(client, tenant).adapter for tenant, client in clients.items()}
    for tenant, questions in TENANTS.items():
        show_answers(clients[tenant], adapters[tenant], questions)
    try:
        clients["bakery"].query(adapters["ferry"], "What is the ship's cat called?")
    except AdapterMissing as error:
        console.print(f"The bakery asks the ferry's adapter: {error}")
    for client in clients.values():
        client.close()


def show_seconds(job: values.Job, first_token_seconds: float) -> None:
    """Where the time of the first document went; generation and training overlap."""
    console.rule("Where the seconds went")
    table = Table("stage", "seconds")
    for stage, seconds in {**asdict(job.progress.seconds), "first_answer_token": first_token_seconds}.items():
        table.add_row(stage.replace("_", " "), f"{seconds:.2f}")
    console.print(table)


def shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:77]}…"


if __name__ == "__main__":
    try:
        main()
    except LiftError as error:
        sys.exit(str(error))
