"""How a revision gets into the object store and out of it again, whole or not at all."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from lift.errors import MalformedName, RevisionMissing, RevisionRejected
from lift.template import PromptTemplate
from storage import keys
from storage.memory import MemoryObjects
from storage.records import RevisionRef
from storage.revisions import (
    CONFIG,
    MANIFEST,
    WEIGHTS,
    Manifest,
    ManifestFile,
    describe,
    fetch,
    publish_files,
)

ENOUGH = 1 << 20


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A trained adapter's folder, with a file that is not part of the revision."""
    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / CONFIG).write_bytes(b"{}")
    (folder / WEIGHTS).write_bytes(bytes(100_000))
    (folder / "optimizer.pt").write_bytes(b"large")
    return folder


def manifest_of(folder: Path, **changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "files": describe(folder),
        "base_model": "base",
        "base_model_revision": "r",
        "rank": 8,
        "alpha": 16.0,
        "target_modules": ("q_proj", "v_proj"),
        "template": PromptTemplate.named("chatml"),
        "hyperparameters": {"learning_rate": 1e-4, "epochs": 4, "profile": "paper", "shuffle": True},
        "data_sha256": "a" * 64,
        "sentences": 25,
        "pairs": 100,
        "created_at": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    }
    return Manifest(**{**values, **changes})


def published(objects: MemoryObjects, folder: Path) -> RevisionRef:
    return publish_files(objects, tenant="acme", adapter="handbook", folder=folder, manifest=manifest_of(folder))


def forged(objects: MemoryObjects, content: bytes) -> RevisionRef:
    """A revision whose manifest is these bytes, under their right digest."""
    ref = RevisionRef(tenant="acme", adapter="handbook", digest=sha256(content).hexdigest())
    objects.put(keys.revision(ref, MANIFEST), content)
    return ref


def test_a_revision_comes_back_as_it_went(objects: MemoryObjects, folder: Path, tmp_path: Path) -> None:
    ref = published(objects, folder)
    fetched = fetch(objects, ref, tmp_path / "engine", ENOUGH)
    assert {path.name for path in fetched.iterdir()} == {CONFIG, WEIGHTS, MANIFEST}
    assert (fetched / WEIGHTS).read_bytes() == bytes(100_000)
    assert Manifest.from_bytes((fetched / MANIFEST).read_bytes()) == manifest_of(folder)


def test_the_digest_is_the_hash_of_the_manifest(objects: MemoryObjects, folder: Path) -> None:
    ref = published(objects, folder)
    assert ref.digest == sha256(objects.get(keys.revision(ref, MANIFEST))).hexdigest()
    assert ref.digest == manifest_of(folder).digest


def test_the_digest_does_not_depend_on_the_order_of_the_hyperparameters(folder: Path) -> None:
    first = manifest_of(folder, hyperparameters={"a": 1, "b": 2.5})
    assert first.digest == manifest_of(folder, hyperparameters={"b": 2.5, "a": 1}).digest
    assert first.digest != manifest_of(folder, hyperparameters={"a": 1, "b": 2.25}).digest


def test_the_manifest_goes_up_last(folder: Path) -> None:
    order: list[str] = []

    class Watched(MemoryObjects):
        def put(self, key: str, data: bytes) -> None:
            order.append(key.rsplit("/", 1)[1])
            super().put(key, data)

    published(Watched(), folder)
    assert order == [CONFIG, WEIGHTS, MANIFEST]


def test_each_fetch_has_a_folder_of_its_own(objects: MemoryObjects, folder: Path, tmp_path: Path) -> None:
    ref = published(objects, folder)
    assert fetch(objects, ref, tmp_path / "engine", ENOUGH) != fetch(objects, ref, tmp_path / "engine", ENOUGH)


def test_what_is_not_there_is_missing(objects: MemoryObjects, tmp_path: Path) -> None:
    ref = RevisionRef(tenant="acme", adapter="handbook", digest="d" * 64)
    with pytest.raises(RevisionMissing):
        fetch(objects, ref, tmp_path, ENOUGH)


def test_another_tenants_revision_is_missing(objects: MemoryObjects, folder: Path, tmp_path: Path) -> None:
    ref = published(objects, folder)
    with pytest.raises(RevisionMissing):
        fetch(objects, replace(ref, tenant="rival"), tmp_path, ENOUGH)


def test_a_revision_that_is_too_large_is_refused_before_it_is_read(
    objects: MemoryObjects, folder: Path, tmp_path: Path
) -> None:
    class Unread(MemoryObjects):
        def stream(self, key: str, chunk_bytes: int) -> Any:
            raise AssertionError("read")

    unread = Unread()
    ref = published(unread, folder)
    with pytest.raises(RevisionRejected, match="too large"):
        fetch(unread, ref, tmp_path / "engine", 50_000)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ((WEIGHTS, bytes(99_999) + b"x"), "not the one"),
        ((WEIGHTS, bytes(100_001)), "another size"),
        ((WEIGHTS, bytes(5)), "another size"),
        ((MANIFEST, b"{}"), "digest"),
        ((MANIFEST, bytes(2 << 20)), "too large"),
    ],
)
def test_a_revision_that_was_changed_is_refused_and_leaves_nothing(
    objects: MemoryObjects, folder: Path, tmp_path: Path, change: tuple[str, bytes], problem: str
) -> None:
    ref = published(objects, folder)
    file, content = change
    objects.put(keys.revision(ref, file), content)
    with pytest.raises(RevisionRejected, match=problem):
        fetch(objects, ref, tmp_path / "engine", ENOUGH)
    assert not (tmp_path / "engine").exists() or list((tmp_path / "engine").iterdir()) == []


def test_a_revision_with_a_file_missing_is_refused(objects: MemoryObjects, folder: Path, tmp_path: Path) -> None:
    ref = published(objects, folder)
    objects.delete([keys.revision(ref, CONFIG)])
    with pytest.raises(RevisionRejected, match="missing"):
        fetch(objects, ref, tmp_path / "engine", ENOUGH)


def test_a_file_that_grows_while_it_is_read_is_cut_off(folder: Path, tmp_path: Path) -> None:
    class Endless(MemoryObjects):
        def stream(self, key: str, chunk_bytes: int) -> Any:
            while True:
                yield bytes(chunk_bytes)

    objects = Endless()
    ref = published(objects, folder)
    with pytest.raises(RevisionRejected, match="larger"):
        fetch(objects, ref, tmp_path / "engine", ENOUGH)


@pytest.mark.parametrize("name", ["../x", "a/b", "/etc/passwd", "..", "", ".x", "a\0", "x" * 129, MANIFEST])
def test_a_file_name_that_leads_elsewhere_is_refused(
    objects: MemoryObjects, folder: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        ManifestFile(name=name, sha256="a" * 64, size_bytes=1)
    content = json.loads(manifest_of(folder).to_bytes())
    content["files"][0]["name"] = name
    with pytest.raises(RevisionRejected):
        fetch(objects, forged(objects, json.dumps(content).encode()), tmp_path / "engine", ENOUGH)


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"rank": 0},
        {"rank": "eight"},
        {"files": [{"name": "a", "sha256": "xyz", "size_bytes": 1}]},
        {"files": [{"name": "a", "sha256": "a" * 64, "size_bytes": -1}]},
        {"files": [{"name": "a", "sha256": "a" * 64, "size_bytes": 1}] * 2},
        {"template": {"name": "chatml"}},
        {"surprise": 1},
    ],
)
def test_a_malformed_manifest_is_refused(
    objects: MemoryObjects, folder: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    content = {**json.loads(manifest_of(folder).to_bytes()), **change}
    with pytest.raises(RevisionRejected):
        fetch(objects, forged(objects, json.dumps(content).encode()), tmp_path, ENOUGH)


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_manifest_is_refused(objects: MemoryObjects, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(RevisionRejected):
        fetch(objects, forged(objects, content), tmp_path, ENOUGH)


def test_a_digest_that_leads_elsewhere_is_refused(objects: MemoryObjects, tmp_path: Path) -> None:
    with pytest.raises(MalformedName):
        fetch(objects, RevisionRef(tenant="acme", adapter="..", digest="../.."), tmp_path, ENOUGH)
