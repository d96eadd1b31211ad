"""Commands that become another process: a role, `lift bench`, `lift eval`, `lift writer`; and `lift config`."""

import os
import sys
from collections.abc import Callable

import typer

from lift.cli import options, output

PANEL = "One role, configured by LIFT_CONFIG and LIFT_*"
ROLES = {
    "gateway": ("server.gateway", "Run a gateway: gRPC, administration, OpenAI façade."),
    "generator": ("generator", "Run a generator, which writes questions and answers."),
    "trainer": ("trainer", "Run a trainer, which turns jobs into adapters."),
    "engine": ("server.engine", "Run an engine: vLLM with its adapters."),
}


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    for role, (module, what) in ROLES.items():
        app.command(role, help=what, rich_help_panel=PANEL)(_become(module))
    app.command(rich_help_panel=PANEL)(config)
    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command(rich_help_panel="Measure", context_settings=passed_on)(bench)
    app.command("eval", rich_help_panel="Measure", context_settings=passed_on)(evaluate)
    app.command(rich_help_panel="Measure", context_settings=passed_on)(writer)


def config(as_json: options.Json = False) -> None:
    """Print all settings as a role reads them, secrets masked."""
    from lift.settings import Settings
    from lift.toml import masked, to_toml

    content = masked(Settings.read())
    if as_json:
        output.print_json(content)
    else:
        output.line(to_toml(content).rstrip())


def bench(context: typer.Context) -> None:
    """Measure speed beside rivals and the limit; see `lift bench --help`."""
    os.execv(sys.executable, [sys.executable, "-m", "benchmarks", *context.args])  # noqa: S606 - no shell is wanted


def evaluate(context: typer.Context) -> None:
    """Ask what adapters know, beside other methods; see `lift eval --help`."""
    os.execv(sys.executable, [sys.executable, "-m", "evals", *context.args])  # noqa: S606 - no shell is wanted


def writer(context: typer.Context) -> None:
    """Teach a question writer for a base model; see `lift writer --help`."""
    os.execv(sys.executable, [sys.executable, "-m", "trainer.writer", *context.args])  # noqa: S606 - no shell is wanted


def _become(module: str) -> Callable[[], None]:
    def command() -> None:
        os.execv(sys.executable, [sys.executable, "-m", module])  # noqa: S606 - no shell is wanted

    return command
