"""What the stack runs with: its own choices below the user's, the same ports and secrets every time."""

import resource
import socket
import tomllib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lift.errors import InvalidOption, StackFailed
from lift.settings import Settings
from lift.stack.configuration import FRESH_PORTS, configure
from lift.stack.logfiles import KEPT, last_lines, rotate
from lift.stack.programs import programs
from lift.toml import revealed, to_toml
from lift.writing import WRITER


def test_every_role_reads_the_same_settings_from_the_file(state, monkeypatch):
    configuration = configure(state)
    monkeypatch.setenv("LIFT_CONFIG", str(state.config))
    assert Settings() == configuration.settings
    assert configuration.settings.generator.endpoint.endswith(f":{configuration.settings.engine.http_port}/v1")
    assert configuration.settings.generator.api_key == configuration.settings.node_token


def test_only_this_user_can_read_the_secrets(state):
    configure(state)
    for file in (state.config, state.assigned):
        assert file.stat().st_mode & 0o077 == 0
    assert state.path.stat().st_mode & 0o077 == 0


def test_ports_and_secrets_stay_and_a_port_that_is_taken_is_replaced(state):
    first = configure(state)
    with socket.create_server(("127.0.0.1", first.ports["gateway"])):
        second = configure(state)
    assert second.secrets == first.secrets
    assert {name for name in first.ports if first.ports[name] != second.ports[name]} == {"gateway"}
    assert len(set(second.ports.values())) == len(second.ports)
    assert all(port in FRESH_PORTS for port in second.ports.values())  # nobody else is given one before it is bound


@contextmanager
def no_room() -> Iterator[None]:
    """Files cannot grow in the block."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_ports_and_secrets_outlive_a_start_on_a_full_disk(state):
    first = configure(state)
    with no_room(), pytest.raises(OSError, match="File too large"):
        configure(state)
    assert sorted(path.name for path in state.path.iterdir()) == ["assigned.json", "lift.toml", "logs"]
    second = configure(state)
    assert (second.ports, second.secrets) == (first.ports, first.secrets)


@pytest.mark.parametrize(
    "content", [b"", b'{"ports": {}, "secrets": {"s3": "a-secret"', b'{"ports": "a-secret"}', b"\xff"]
)
def test_damaged_ports_and_secrets_are_said_and_not_quoted(state, content):
    state.assigned.write_bytes(content)
    with pytest.raises(StackFailed, match=r"assigned\.json") as failed:
        configure(state)
    assert "a-secret" not in str(failed.value)
    assert state.assigned.read_bytes() == content


def test_what_the_user_sets_goes_first_and_what_follows_from_it_follows(state, tmp_path, monkeypatch):
    file = tmp_path / "user.toml"
    file.write_text(
        '[gateway]\nmax_document_bytes = 99\nport = 7001\n[engine]\nhttp_port = 7002\nhttp_host = "0.0.0.0"\n'
    )
    monkeypatch.setenv("LIFT_CONFIG", str(file))
    monkeypatch.setenv("LIFT_GATEWAY__PORT", "7003")
    monkeypatch.setenv("LIFT_STATE_DIR", "elsewhere")
    settings = configure(state).settings
    assert (settings.gateway.max_document_bytes, settings.gateway.port) == (99, 7003)
    assert settings.generator.endpoint == "http://127.0.0.1:7002/v1"
    assert settings.state_dir == state.path
    assert settings.trainer.profile == "primed"


def test_stores_and_a_base_model_of_the_users_are_not_started_or_made(state, monkeypatch):
    own = {program.name for program in programs(state, configure(state))}
    monkeypatch.setenv("LIFT_QUEUE__URL", "redis://elsewhere/0")
    monkeypatch.setenv("LIFT_OBJECTS__ENDPOINT", "s3.elsewhere")
    monkeypatch.setenv("LIFT_MODEL__BASE_MODEL", "/models/mine")
    users = {program.name for program in programs(state, configure(state))}
    assert own - users == {"valkey", "objects", "base-model"}
    assert users == {"engine", "generator", "trainer", "gateway"}


def test_what_the_environment_says_of_threads_and_memory_goes_before_the_stack_s_choice(state, monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    chosen = {program.name: program.environment for program in programs(state, configure(state))}
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    said = {program.name: program.environment for program in programs(state, configure(state))}
    assert (chosen["trainer"]["GOMP_SPINCOUNT"], said["trainer"]["GOMP_SPINCOUNT"]) == ("1000", "7")
    assert "GOMP_SPINCOUNT" not in said["engine"]


def test_the_embedded_model_is_asked_through_its_question_writer(state):
    settings = configure(state).settings
    assert (Path(settings.engine.writer) / "adapter_model.safetensors").is_file()
    assert settings.generator.writer == WRITER


@pytest.mark.parametrize("variable", ["LIFT_MODEL__BASE_MODEL", "LIFT_GENERATOR__ENDPOINT"])
def test_another_model_or_endpoint_has_no_question_writer_of_ours(state, monkeypatch, variable):
    monkeypatch.setenv(variable, "http://elsewhere/v1")
    assert configure(state).settings.generator.writer == ""


def test_a_question_writer_of_the_users_is_asked(state, monkeypatch):
    monkeypatch.setenv("LIFT_MODEL__BASE_MODEL", "/models/mine")
    monkeypatch.setenv("LIFT_ENGINE__WRITER", "/models/my-writer")
    settings = configure(state).settings
    assert (settings.engine.writer, settings.generator.writer) == ("/models/my-writer", WRITER)


def test_adapters_of_the_embedded_model_begin_at_its_primer_and_others_at_none(state, monkeypatch):
    trainer = configure(state).settings.trainer
    assert trainer.profile == "primed"
    assert (Path(trainer.primer) / "adapter_model.safetensors").is_file()
    monkeypatch.setenv("LIFT_MODEL__BASE_MODEL", "/models/mine")
    assert configure(state).settings.trainer.primer == ""


@pytest.mark.parametrize(("primer", "profile"), [("/models/my-primer", "primed"), ("", "embedded")])
def test_adapters_begin_at_a_primer_where_there_is_one(state, monkeypatch, primer, profile):
    monkeypatch.setenv("LIFT_TRAINER__PRIMER", primer)
    trainer = configure(state).settings.trainer
    assert (trainer.primer, trainer.profile) == (primer, profile)


def test_the_stacks_own_file_is_not_taken_for_the_users(state, monkeypatch):
    configure(state)
    monkeypatch.setenv("LIFT_CONFIG", str(state.config))
    assert configure(state).own_queue


def test_a_value_that_cannot_be_is_named_and_not_quoted(state, monkeypatch):
    monkeypatch.setenv("LIFT_ENGINE__SLOTS", "a-secret")
    with pytest.raises(InvalidOption, match=r"engine\.slots") as refused:
        configure(state)
    assert "a-secret" not in "".join(traceback.format_exception(refused.value))


def test_a_table_that_there_is_none_of_is_named(state, tmp_path, monkeypatch):
    file = tmp_path / "user.toml"
    file.write_text("[gatway]\nport = 7000\n")
    monkeypatch.setenv("LIFT_CONFIG", str(file))
    for read in (Settings.read, lambda: configure(state)):
        with pytest.raises(InvalidOption, match="gatway, problem: no such setting"):
            read()


def test_a_file_that_cannot_be_read_is_named(state, tmp_path, monkeypatch):
    monkeypatch.setenv("LIFT_CONFIG", str(tmp_path / "missing.toml"))
    with pytest.raises(InvalidOption, match=r"missing\.toml"):
        configure(state)


def test_settings_survive_toml(state):
    settings = configure(state).settings
    assert Settings(**tomllib.loads(to_toml(revealed(settings)))) == settings


def test_every_run_has_a_log_of_its_own_and_old_ones_are_forgotten(state):
    log = state.log_of("engine")
    for number in range(KEPT + 2):
        log.write_text(f"run {number}")
        rotate(log)
    assert sorted(file.name for file in state.logs.iterdir()) == [f"engine.log.{n}" for n in range(1, KEPT + 1)]
    assert (state.logs / "engine.log.1").read_text() == f"run {KEPT + 1}"


def test_the_end_of_a_log_is_its_last_lines(state):
    state.log_of("engine").write_text("".join(f"line {number}\n" for number in range(1000)))
    assert last_lines(state.log_of("engine"), 2) == "line 998\nline 999"
    assert last_lines(state.log_of("nobody")) == ""
