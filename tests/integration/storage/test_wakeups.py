"""Wake-ups through a real broker."""

import json
import socket

import pytest
from structlog.testing import capture_logs
from valkey import Valkey

from lift.errors import InvalidOption, Unavailable
from storage.wakeups import CeleryWakeups, MemoryWakeups

soon = pytest.mark.timeout(60)  # seconds; what Celery would do by itself takes minutes, or for ever


def test_a_wake_up_is_a_task_that_carries_the_jobs_id_and_nothing_else(broker_url: str) -> None:
    wakeups = CeleryWakeups(broker_url, "lift-test")
    wakeups.wake("job-1")
    wakeups.wake("job-2")
    with Valkey.from_url(broker_url) as client:
        messages = [json.loads(message) for message in client.lrange("lift-test", 0, -1)]
    wakeups.close()
    assert {message["headers"]["task"] for message in messages} == {"lift.train"}
    assert {message["headers"]["argsrepr"] for message in messages} == {"['job-1']", "['job-2']"}
    assert {message["content-type"] for message in messages} == {"application/json"}


def test_wake_ups_wait_until_a_trainer_takes_them(broker_url: str) -> None:
    wakeups = CeleryWakeups(broker_url, "lift-waiting")
    assert not wakeups.waiting()
    wakeups.wake("job-1")
    assert wakeups.waiting()
    with Valkey.from_url(broker_url) as client:
        client.delete("lift-waiting")
    assert not wakeups.waiting()
    wakeups.close()


@soon
def test_nobody_is_told_that_no_wake_up_waits_while_the_broker_is_down() -> None:
    wakeups = CeleryWakeups("redis://127.0.0.1:9/0", "lift-test")
    with pytest.raises(Unavailable):
        wakeups.waiting()
    wakeups.close()


@pytest.mark.parametrize("url", ["redsi://:secret@host/0", "nonsense://"])
def test_a_url_of_no_broker_is_said_when_it_is_read_and_not_quoted(url: str) -> None:
    with pytest.raises(InvalidOption, match=r"queue\.url") as refused:
        CeleryWakeups(url, "lift-test")
    assert "secret" not in str(refused.value)


@soon
def test_a_broker_that_is_down_costs_a_moment_and_a_line_in_the_log() -> None:
    wakeups = CeleryWakeups("redis://127.0.0.1:9/0", "lift-test")
    with capture_logs() as logs:
        wakeups.wake("job-1")
    assert [(line["event"], line["job"]) for line in logs] == [("wakeup_lost", "job-1")]


@soon
def test_a_broker_that_does_not_answer_is_not_waited_for_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wakeups = CeleryWakeups(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", "lift-test")
        with capture_logs() as logs:
            wakeups.wake("job-1")
    assert [line["event"] for line in logs] == ["wakeup_lost"]


def test_the_twin_remembers_what_it_was_told() -> None:
    wakeups = MemoryWakeups()
    wakeups.wake("job-1")
    wakeups.wake("job-2")
    assert wakeups.woken == ["job-1", "job-2"]
