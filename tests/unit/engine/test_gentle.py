"""How an object is read beside others who wait for the processors."""

import pytest

from lift.errors import ObjectMissing
from lift.settings import ObjectSettings
from server.engine import gentle
from server.engine.gentle import LEAST_BYTES, GentleObjects
from storage.s3 import S3Objects

CONTENT = bytes(range(256)) * (10 * LEAST_BYTES // 256) + b"the end"


@pytest.fixture
def pauses(monkeypatch):
    """For how long a read stood still, in seconds."""
    found = []
    monkeypatch.setattr(gentle.time, "sleep", found.append)
    return found


@pytest.fixture
def parts(monkeypatch):
    """Sizes of the parts that a store without a server was asked for."""
    asked = []

    def stream_part(_, key, chunk_bytes, *, start, size):
        asked.append(size)
        yield CONTENT[start : start + size]

    monkeypatch.setattr(S3Objects, "stream_part", stream_part)
    monkeypatch.setattr(S3Objects, "size", lambda _, key: {"there": len(CONTENT), "empty": 0}.get(key))
    return asked


@pytest.fixture
def pressure(monkeypatch, tmp_path):
    """The file that says how long somebody has waited: each reading finds so many seconds more."""
    monkeypatch.setattr(gentle, "PRESSURE", tmp_path / "cpu")

    def waits(seconds):
        waited = iter(range(1000))
        lines = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"

        class Pressure:
            def read_text(self):
                return lines.format(int(next(waited) * seconds * 1e6))

        monkeypatch.setattr(gentle, "PRESSURE", Pressure())

    return waits


def read(key="there"):
    return b"".join(GentleObjects(ObjectSettings()).stream(key, 1 << 20))


def test_where_nobody_waits_parts_grow_and_nothing_is_delayed(parts, pressure, pauses):
    pressure(0)
    assert read() == CONTENT
    assert parts == [LEAST_BYTES, 2 * LEAST_BYTES, 4 * LEAST_BYTES, len(CONTENT) - 7 * LEAST_BYTES]
    assert not pauses


def test_where_others_wait_parts_stay_small_and_lie_apart(parts, pressure, pauses):
    pressure(1)
    assert read() == CONTENT
    assert parts == [*[LEAST_BYTES] * 10, len(CONTENT) - 10 * LEAST_BYTES]
    assert len(pauses) == len(parts)


@pytest.mark.usefixtures("pressure")
def test_where_the_system_does_not_say_nothing_is_delayed(parts, pauses):
    assert read() == CONTENT
    assert len(parts) == 4
    assert not pauses


def test_an_empty_object_has_no_parts_and_a_missing_one_is_said_to_be(parts):
    assert read("empty") == b""
    assert not parts
    with pytest.raises(ObjectMissing):
        read("elsewhere")
