"""Turns a folder of trained weights into a revision in the object store, and a revision into a folder again.

A revision is named by the SHA-256 of its manifest, which holds the SHA-256 of each file. Files go up first and the
manifest last: where there is a manifest, there is all of it.
"""

import json
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lift.errors import ObjectMissing, RevisionMissing, RevisionRejected
from lift.template import PromptTemplate
from storage import keys
from storage.files import CONFIG, MANIFEST, WEIGHTS
from storage.objects import ObjectStore
from storage.records import RevisionRef

MAX_MANIFEST_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ManifestFile(BaseModel):
    """One file of a revision."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    sha256: Sha256
    size_bytes: int = Field(ge=0)

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not keys.PART.fullmatch(name) or name == MANIFEST:
            raise ValueError("not a plain file name")
        return name


class Manifest(BaseModel):
    """What a revision is: its files, what it was trained on and how. Bytes and digest follow from the values alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    files: tuple[ManifestFile, ...]
    base_model: str
    base_model_revision: str
    rank: int = Field(gt=0)
    alpha: float = Field(gt=0, allow_inf_nan=False)
    target_modules: tuple[str, ...]
    template: PromptTemplate
    hyperparameters: dict[str, str | int | float | bool]
    data_sha256: Sha256
    sentences: int = Field(ge=0)
    pairs: int = Field(ge=0)
    created_at: datetime

    @field_validator("files")
    @classmethod
    def _each_once(cls, files: tuple[ManifestFile, ...]) -> tuple[ManifestFile, ...]:
        if len({file.name for file in files}) < len(files):
            raise ValueError("a file is named twice")
        return files

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def digest(self) -> str:
        """The revision's digest."""
        return sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """Canonical JSON. ValueError: a hyperparameter is not a finite number."""
        values = self.model_dump(mode="json")
        return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """RevisionRejected: not a manifest, or one of another version."""
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise RevisionRejected(problem="the manifest is not valid") from error


def describe(folder: Path, names: Sequence[str] = (CONFIG, WEIGHTS)) -> tuple[ManifestFile, ...]:
    """The entries of a manifest for files of a folder."""
    return tuple(
        ManifestFile(name=name, sha256=_hash_of(folder / name), size_bytes=(folder / name).stat().st_size)
        for name in names
    )


def publish_files(objects: ObjectStore, *, tenant: str, adapter: str, folder: Path, manifest: Manifest) -> RevisionRef:
    """Stores the files of the manifest from the folder, then the manifest. StoreUnavailable."""
    ref = RevisionRef(tenant=tenant, adapter=adapter, digest=manifest.digest)
    for file in manifest.files:
        objects.put_file(keys.revision(ref, file.name), folder / file.name)
    objects.put(keys.revision(ref, MANIFEST), manifest.to_bytes())
    return ref


def fetch(objects: ObjectStore, ref: RevisionRef, into: Path, max_bytes: int) -> Path:
    """A new folder below `into` with the files and the manifest, all checked.

    The folder's name is new at each call, and the folder is there only once it is complete; a machine that stops may
    lose it, since nobody looks for it afterwards. RevisionMissing, StoreUnavailable; RevisionRejected: larger than
    `max_bytes`, or not what its digest says.
    """
    content = _manifest_bytes(objects, ref)
    manifest = Manifest.from_bytes(content)
    if manifest.size_bytes > max_bytes:
        raise RevisionRejected(problem="too large", size_bytes=manifest.size_bytes, max_bytes=max_bytes)
    name = f"{ref.digest[:16]}-{secrets.token_hex(8)}"
    with _fresh_folder(into / f".{name}") as folder:
        for file in manifest.files:
            with _missing_as(RevisionRejected(problem="a file is missing", file=file.name)):
                _fetch_file(objects, keys.revision(ref, file.name), folder / file.name, file)
        (folder / MANIFEST).write_bytes(content)
        folder.rename(into / name)
    return into / name


def _manifest_bytes(objects: ObjectStore, ref: RevisionRef) -> bytes:
    key = keys.revision(ref, MANIFEST)
    missing = RevisionMissing(adapter=ref.adapter, revision=ref.digest)
    size = objects.size(key)
    if size is None:
        raise missing
    if size > MAX_MANIFEST_BYTES:
        raise RevisionRejected(problem="the manifest is too large", size_bytes=size)
    with _missing_as(missing):
        content = objects.get(key)
    if sha256(content).hexdigest() != ref.digest:
        raise RevisionRejected(problem="the manifest is not the one that the digest names")
    return content


def _fetch_file(objects: ObjectStore, key: str, path: Path, file: ManifestFile) -> None:
    if objects.size(key) not in {file.size_bytes, None}:
        raise RevisionRejected(problem="a file has another size than the manifest says", file=file.name)
    found = _write(path, objects.stream(key, _CHUNK_BYTES), file.size_bytes)
    if found != file.sha256:
        raise RevisionRejected(problem="a file is not the one that the manifest names", file=file.name)


def _write(path: Path, chunks: Iterator[bytes], max_bytes: int) -> str:
    """Writes the chunks, and returns their SHA-256."""
    digest, left = sha256(), max_bytes
    with path.open("xb") as file:
        for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                raise RevisionRejected(problem="a file is larger than the manifest says", file=path.name)
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


@contextmanager
def _fresh_folder(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def _missing_as(replacement: Exception) -> Iterator[None]:
    try:
        yield
    except ObjectMissing as error:
        raise replacement from error
