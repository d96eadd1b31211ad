"""Commands, options and settings that the documents and the compose file name are there."""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import benchmarks.__main__
import evals.__main__
import generator.lessons
import generator.teaching_rows
import lift.cli
import trainer.priming
import trainer.writer
from lift.settings import Settings

ROOT = Path(__file__).parents[2]
PAST = {"CHANGELOG.md", "why.md"}  # what was so when it was written
DOCUMENTS = sorted(
    document
    for folder in (
        ".",
        "docs",
        "deploy/kubernetes",
        "evals/data/invented",
        "generator/question_writer",
        "teaching",
        "trainer/primers",
    )
    for document in (ROOT / folder).glob("*.md")
    if document.name not in PAST
)
OPERATIONS = ROOT / "docs" / "operations.md"
MODULES = {"generator.lessons": generator.lessons.app, "generator.teaching_rows": generator.teaching_rows.app}
PROGRAMS = {
    "bench": benchmarks.__main__.app,
    "eval": evals.__main__.app,
    "primer": trainer.priming.app,
    "writer": trainer.writer.app,
}
SETTINGS = {name: getattr(field.annotation, "model_fields", {}) for name, field in Settings.model_fields.items()}


def code_in(document: Path) -> Iterator[str]:
    """Lines of blocks, and code within lines."""
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for block in blocks:
        yield from block.replace("\\\n", "").splitlines()
    for code in re.findall(r"`([^`]+)`", re.sub(r"^```\w*\n.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)):
        yield " ".join(code.split())


def called(line: str) -> tuple[Any, list[str]]:
    """The command that a line calls, and the words behind its name."""
    program, *words = shlex.split(line, comments=True)
    app = lift.cli.app
    if program == "python":
        app = MODULES[words[1]]
        words = words[2:]
    elif words and words[0] in PROGRAMS:
        app = PROGRAMS[words.pop(0)]
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        command = command.commands[words.pop(0)]
    return command, words


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_is_there_with_its_options(document):
    for line in code_in(document):
        if not line.startswith(("lift ", *map("python -m {}".format, MODULES))) or " | " in line:  # a list of commands
            continue
        command, words = called(line)
        known = {"--help", "--json"} | {
            option for param in command.params for option in (*param.opts, *param.secondary_opts)
        }
        assert {word for word in words if word.startswith("--")} <= known, line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_setting_is_there(document):
    tables = "|".join(name for name, fields in SETTINGS.items() if fields)
    for code in code_in(document):
        if named := re.fullmatch(rf"({tables})\.(\w+)( = .*)?", code):
            assert named[2] in SETTINGS[named[1]], code


def test_every_event_that_operators_look_for_is_logged():
    section = OPERATIONS.read_text().partition("\n## Logs\n")[2]
    rows = re.findall(r"^\| (`[^|]+`) \| (?:all|trainer|gateway|engine)", section, re.MULTILINE)
    named = {event for row in rows for event in re.findall(r"`(\w+)`", row)}
    sources = (
        file.read_text() for role in ("lift", "server", "trainer", "storage") for file in (ROOT / role).rglob("*.py")
    )
    logged = {event for source in sources for event in re.findall(r'log\.\w+\("(\w+)"', source)}
    assert len(named) > 9
    assert named <= logged


def test_every_variable_of_the_compose_file_is_a_setting(monkeypatch):
    for name in [name for name in os.environ if name.startswith("LIFT_")]:
        monkeypatch.delenv(name)
    services = yaml.safe_load((ROOT / "deploy" / "compose" / "compose.yaml").read_text())["services"]
    for role in ("gateway", "generator", "trainer", "engine"):
        given = {name: value for name, value in services[role]["environment"].items() if name.startswith("LIFT_")}
        with monkeypatch.context() as environment:
            for name, value in given.items():
                environment.setenv(name, value)
            read = Settings.read()
        assert given["LIFT_NODE_TOKEN"] == read.node_token.get_secret_value()
