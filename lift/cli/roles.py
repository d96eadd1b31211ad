"""Commands that become another process: a role, `lift bench`, `lift eval`, `lift writer`; and `lift config`."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn

import typer

from lift.cli import options, output

PANEL = "One role, configured by LIFT_CONFIG and LIFT_*"
ROLES = {
    "gateway": ("server.gateway", "Run a gateway: gRPC, administration, OpenAI façade."),
    "generator": ("generator", "Run a generator, which writes questions and answers."),
    "trainer": ("trainer", "Run a trainer, which turns jobs into adapters."),
    "engine": ("server.engine", "Run an engine: vLLM with its adapters."),
}


MEASURE, TEACH = "Measure", "Teach what a base model of your own needs"
PROGRAMS = {
    "bench": ("benchmarks", MEASURE, "Measure speed beside rivals and the limit; see `lift bench --help`."),
    "eval": ("evals", MEASURE, "Ask what adapters know, beside other methods; see `lift eval --help`."),
    "primer": ("trainer.priming", TEACH, "Teach a primer for a base model; see `lift primer --help`."),
    "writer": ("trainer.writer", TEACH, "Teach a question writer for a base model; see `lift writer --help`."),
}
"""Command lines of their own, which get all arguments."""


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    for role, (module, what) in ROLES.items():
        app.command(role, help=what, rich_help_panel=PANEL)(_become(module))
    app.command(rich_help_panel=PANEL)(config)
    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    for name, (module, panel, what) in PROGRAMS.items():
        app.command(name, help=what, rich_help_panel=panel, context_settings=passed_on)(_pass_on_to(module))


def config(as_json: options.Json = False) -> None:
    """Print all settings as a role reads them, with what each is for; secrets masked."""
    from lift.settings import Settings
    from lift.toml import described, masked, to_toml

    content = masked(Settings.read())
    if as_json:
        output.print_json(content)
    else:
        output.line(to_toml(content, described()).rstrip())


def _become(module: str) -> Callable[[], None]:
    return lambda: _replace_process(module)


def _pass_on_to(module: str) -> Callable[[typer.Context], None]:
    def command(context: typer.Context) -> None:
        _replace_process(module, *context.args)

    return command


def _replace_process(module: str, *arguments: str) -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - no shell is wanted
