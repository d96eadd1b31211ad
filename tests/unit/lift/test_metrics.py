"""Where a role says what it counts, and that it says so nowhere else."""

import socket

import pytest
from prometheus_client import Counter

from lift.errors import InvalidOption
from lift.serving.metrics import serving_metrics
from lift.settings import Settings
from lift.stack.configuration import configure
from lift.stack.programs import programs
from lift.toml import described

ROLES = ("gateway", "generator", "trainer", "engine")

SEEN = Counter("lift_test_seen", "For this file alone.")


def test_what_is_counted_is_said_for_as_long_as_the_block_lasts(scraped):
    before = SEEN._value.get()
    SEEN.inc(3)
    with serving_metrics("127.0.0.1", 0) as port:
        said = scraped(port)
        assert said.value("lift_test_seen_total") == before + 3
        assert said.value("process_start_time_seconds") > 0
    with pytest.raises(OSError, match="refused"):
        scraped(port)


def test_without_a_host_nothing_listens(monkeypatch):
    monkeypatch.setattr(socket.socket, "bind", None)
    with serving_metrics("", 7439) as port:
        assert port == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_an_address_that_is_not_to_be_had_is_one_sentence(host):
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(InvalidOption, match=f"{host}:.* taken, or none of this machine"),
        serving_metrics(host, taken.getsockname()[1]),
    ):
        pytest.fail("it listens")


@pytest.mark.parametrize("role", ROLES)
def test_metrics_are_off_until_a_host_is_set_and_each_role_has_a_port_of_its_own(role, monkeypatch):
    settings = Settings()
    assert getattr(settings, role).metrics_host == ""
    ports = [getattr(settings, each).metrics_port for each in ROLES]
    assert len({*ports, settings.gateway.port, settings.engine.port, settings.generator.port}) == 7
    assert "Prometheus" in described()[f"{role}.metrics_host"]
    monkeypatch.setenv(f"LIFT_{role.upper()}__METRICS_PORT", "70000")
    with pytest.raises(InvalidOption, match=rf"{role}\.metrics_port.*less than or equal to 65535"):
        Settings.read()


def test_a_stack_serves_every_role_s_metrics_on_ports_of_its_own(state):
    configuration = configure(state)
    listening = {program.name: program.ports for program in programs(state, configuration)}
    for role in ROLES:
        section = getattr(configuration.settings, role)
        assert (section.metrics_host, section.metrics_port) == ("127.0.0.1", configuration.ports[f"{role}_metrics"])
        assert section.metrics_port in listening[role]


def test_a_user_turns_a_stack_s_metrics_off(state, monkeypatch):
    monkeypatch.setenv("LIFT_TRAINER__METRICS_HOST", "")
    listening = {program.name: program.ports for program in programs(state, configure(state))}
    assert listening["trainer"] == ()
