"""Turns the name of a base model into its folder, and the folder into an identity of its weights."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from lift.errors import BaseModelMissing

_SAMPLES = 64
_SAMPLE_BYTES = 4096


def folder_of(folder_or_id: str | Path) -> Path:
    """The model's folder; a Hugging Face id is looked up in the local cache, then downloaded. BaseModelMissing."""
    folder = Path(folder_or_id)
    if str(folder_or_id) and folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        patterns = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
        return Path(snapshot_download(str(folder_or_id), allow_patterns=patterns))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise BaseModelMissing(base_model=str(folder_or_id)) from error


def identify(folder_or_id: str | Path) -> str:
    """The base model's revision: 64 hexadecimal digits that change with its shape or its weights.

    Weights are sampled (64 times 4 KiB a file), since hashing all bytes of a large model at each
    start would take minutes: it tells models apart, and is no proof against somebody who forges one. BaseModelMissing.
    """
    folder = folder_of(folder_or_id)
    weights = sorted(folder.glob("*.safetensors"))
    if not (folder / "config.json").is_file() or not weights:
        raise BaseModelMissing(base_model=str(folder_or_id), needs="config.json and *.safetensors")
    digest = sha256(_architecture(folder))
    for file in weights:
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
        for sample in _samples(file):
            digest.update(sample)
    return digest.hexdigest()


def _architecture(folder: Path) -> bytes:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except ValueError as error:
        raise BaseModelMissing(base_model=str(folder), problem="config.json is not JSON") from error
    # What the library that saved the model writes about itself says nothing about the model.
    kept = {name: value for name, value in config.items() if name not in {"transformers_version", "_name_or_path"}}
    return json.dumps(kept, sort_keys=True).encode()


def _samples(file: Path) -> Iterator[bytes]:
    step = max(file.stat().st_size // _SAMPLES, _SAMPLE_BYTES)
    with file.open("rb") as weights:
        for start in range(0, file.stat().st_size, step):
            weights.seek(start)
            yield weights.read(_SAMPLE_BYTES)
