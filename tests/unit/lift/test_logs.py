"""What an event says of a failure, and what becomes of it where it cannot be written."""

import subprocess
import sys
from pathlib import Path

import pytest

EVENTS = """
import json, sys
import structlog
from lift import logs
logs.configure(level="DEBUG", as_json=json.loads(sys.argv[1]), role="engine")
log = structlog.get_logger()
for say in (log.debug, log.info, log.warning, log.error, log.critical):
    say("something_happened")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("something_failed")
print("went on", flush=True)
"""

FAILURES = """
import json, logging, sys
import structlog
from lift import logs
logs.configure(as_json=json.loads(sys.argv[1]), role="engine")
def read(document):
    raise KeyError("no_such_key")
for log in (structlog.get_logger(), logging.getLogger("celery")):
    try:
        read("The gate code is %d." % (4700 + 11))
    except KeyError:
        log.exception("something_failed")
"""

WITHOUT_ROOM = """
import resource
import structlog
from lift import logs
logs.configure(role="engine")
log = structlog.get_logger()
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
for number in range(1000):
    log.info("not_written", number=number)
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
log.info("written")
"""


@pytest.mark.parametrize("as_json", ["true", "false"])
def test_an_event_that_cannot_be_written_does_not_fail_what_it_is_about(as_json: str) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", EVENTS, as_json], stdout=subprocess.PIPE, stderr=full, check=False, timeout=240
        )
    assert ended.stdout == b"went on\n"


@pytest.mark.parametrize("as_json", ["true", "false"])
def test_a_failure_is_written_with_its_lines_and_without_what_they_held(as_json: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FAILURES, as_json], capture_output=True, check=True, text=True, timeout=240
    )
    assert ended.stderr.count("no_such_key") >= 2
    assert ended.stderr.count("something_failed") == 2
    assert "4711" not in ended.stderr


def test_events_are_written_again_once_there_is_room(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        subprocess.run([sys.executable, "-c", WITHOUT_ROOM], stderr=log, check=True, timeout=240)
    assert '"event": "written"' in (tmp_path / "log").read_text()
