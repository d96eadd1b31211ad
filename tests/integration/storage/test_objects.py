"""What every object store does."""

import threading
from pathlib import Path

import pytest

from lift.errors import InvalidOption, ObjectMissing, StoreUnavailable
from lift.settings import ObjectSettings
from storage.objects import ObjectStore
from storage.s3 import S3Objects


def test_what_was_put_is_got(objects: ObjectStore) -> None:
    objects.put("t/documents/a", b"bytes")
    assert objects.get("t/documents/a") == b"bytes"


def test_an_empty_object_is_an_object(objects: ObjectStore) -> None:
    objects.put("t/empty", b"")
    assert objects.get("t/empty") == b""
    assert objects.size("t/empty") == 0


def test_a_missing_object_is_missing_in_every_way(objects: ObjectStore) -> None:
    objects.put("t/there", b"x")
    for read in (
        lambda: objects.get("t/missing"),
        lambda: next(objects.stream("t/missing", 10)),
    ):
        with pytest.raises(ObjectMissing):
            read()
    assert objects.size("t/missing") is None


def test_before_the_first_put_nothing_is_there(objects: ObjectStore) -> None:
    assert objects.size("t/a") is None
    assert list(objects.list("t/")) == []
    objects.delete(["t/a"])
    with pytest.raises(ObjectMissing):
        objects.get("t/a")


def test_files_go_up_and_come_down(objects: ObjectStore, tmp_path: Path) -> None:
    content = bytes(range(256)) * 30_000  # more than one part of a multipart upload
    (tmp_path / "up").write_bytes(content)
    objects.put_file("t/file", tmp_path / "up")
    assert objects.get("t/file") == content
    assert objects.size("t/file") == len(content)


def test_a_stream_has_all_bytes_in_chunks_of_the_size_asked_for(objects: ObjectStore) -> None:
    objects.put("t/a", bytes(2500))
    chunks = list(objects.stream("t/a", 1000))
    assert b"".join(chunks) == bytes(2500)
    assert max(map(len, chunks)) <= 1000


@pytest.mark.parametrize("endpoint", ["http://store:9000", "store:9000/bucket"])
def test_an_endpoint_that_is_none_is_named(endpoint: str) -> None:
    with pytest.raises(InvalidOption, match=endpoint):
        S3Objects(ObjectSettings(endpoint=endpoint))


def test_a_part_of_an_object_is_read_alone(s3_settings: ObjectSettings) -> None:
    objects = S3Objects(s3_settings)
    objects.put("a/parts", b"0123456789" * 1000)
    chunks = list(objects.stream_part("a/parts", 300, start=9_005, size=990))
    assert [len(chunk) for chunk in chunks] == [300, 300, 300, 90]
    assert b"".join(chunks) == (b"0123456789" * 1000)[9_005:9_995]
    assert b"".join(objects.stream_part("a/parts", 300, start=9_998, size=0)) == b"89"
    objects.close()


def test_an_abandoned_stream_gives_its_connection_back(objects: ObjectStore) -> None:
    objects.put("t/a", bytes(100_000))
    for _ in range(100):
        stream = objects.stream("t/a", 1000)
        next(stream)
        stream.close()
    assert len(objects.get("t/a")) == 100_000


def test_a_listing_has_the_keys_with_the_prefix_in_order_at_any_depth(objects: ObjectStore) -> None:
    for key in ("t/j/b", "t/j/a/1", "t/k/c", "tt/j/d"):
        objects.put(key, b"x")
    assert list(objects.list("t/j/")) == ["t/j/a/1", "t/j/b"]
    assert list(objects.list("t/")) == ["t/j/a/1", "t/j/b", "t/k/c"]
    assert list(objects.list("none/")) == []


def test_deleting_takes_what_is_named_and_nothing_else(objects: ObjectStore) -> None:
    for key in ("t/a", "t/b", "t/c"):
        objects.put(key, b"x")
    objects.delete(["t/a", "t/b", "t/never-there"])
    assert list(objects.list("t/")) == ["t/c"]
    objects.delete(objects.list("t/"))
    assert list(objects.list("t/")) == []


def test_more_objects_than_one_page_are_listed_and_deleted(objects: ObjectStore) -> None:
    for number in range(1100):
        objects.put(f"t/many/{number:05d}", b"x")
    assert len(list(objects.list("t/many/"))) == 1100
    objects.delete(objects.list("t/many/"))
    assert list(objects.list("t/many/")) == []


def test_a_second_put_replaces_the_first(objects: ObjectStore) -> None:
    objects.put("t/a", b"first")
    objects.put("t/a", b"second")
    assert objects.get("t/a") == b"second"


def test_threads_share_a_store(objects: ObjectStore) -> None:
    threads = [
        threading.Thread(target=objects.put, args=(f"t/threads/{number}", str(number).encode())) for number in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {objects.get(key) for key in objects.list("t/threads/")} == {str(number).encode() for number in range(16)}


def test_a_server_that_is_down_is_said_to_be_unavailable() -> None:
    objects = S3Objects(ObjectSettings(endpoint="127.0.0.1:9", access_key="a"))
    for use in (
        lambda: objects.put("t/a", b"x"),
        lambda: objects.get("t/a"),
        lambda: objects.size("t/a"),
        lambda: list(objects.list("t/")),
        lambda: objects.delete(["t/a"]),
    ):
        with pytest.raises(StoreUnavailable):
            use()
