"""The command line `lift`: commands over the client and the embedded stack; results on stdout, errors on stderr.

Whatever is slow to import is imported inside the command that needs it.
"""

import typer

from lift.cli import adapters, administration, asking, documents, jobs, roles, stack
from lift.commands import run

PANEL = "What there is"

app = typer.Typer(
    name="lift",
    help="Turns documents into LoRA adapters, and answers questions from them.",
    epilog="The stack is that of the state folder. Another one is named by LIFT_ADDRESS and LIFT_KEY, "
    "for `lift admin` by LIFT_ADMIN_ADDRESS and LIFT_OPERATOR_KEY.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
stack.add_to(app)
asking.add_to(app)
app.add_typer(documents.app, name="documents", rich_help_panel=PANEL)
app.add_typer(adapters.app, name="adapters", rich_help_panel=PANEL)
app.add_typer(jobs.app, name="jobs", rich_help_panel=PANEL)
app.add_typer(administration.app, name="admin", rich_help_panel=PANEL)
roles.add_to(app)


def main() -> None:
    """Runs one command."""
    run(app)
