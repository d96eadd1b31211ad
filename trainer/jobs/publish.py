"""Turns trained weights into a revision in the object store: PEFT's two files, a scope, checked, then the manifest."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from lift.template import PromptTemplate
from storage.files import CONFIG, MANIFEST, SCOPE, WEIGHTS
from storage.objects import ObjectStore
from storage.records import Job, Revision
from storage.revisions import Manifest, describe, publish_files
from storage.safetensors import LENGTH_BYTES
from storage.tensor_names import layer_of
from storage.validation import SCORES, validate
from trainer.base_model import BaseModel
from trainer.learners.decomposition import rank_of
from trainer.profiles import Hyperparameters

ALIGNMENT = 64  # bytes of a cache line: vectors that begin elsewhere are read from two


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What an adapter was made with and of, as its manifest says it; its rank may be below the trained one."""

    base: BaseModel
    template: PromptTemplate
    hyperparameters: Hyperparameters
    data_sha256: str
    sentences: int
    pairs: int


def publish(
    objects: ObjectStore,
    job: Job,
    weights: Mapping[str, Tensor],
    made: Made,
    *,
    losses: Sequence[float],
    scope: Tensor | None = None,
) -> Revision:
    """Stores the revision's files and returns its row for the catalogue, which is not written here.

    `weights` have PEFT's names; `losses`: of each epoch, in nats per answer token; `scope` [vocabulary size], fp32:
    what it is about, where it is not about everything.
    RevisionRejected: they are none that an engine would load. StoreUnavailable.
    """
    base = made.base
    with tempfile.TemporaryDirectory(prefix="lift-revision-") as name:
        folder = Path(name)
        manifest = _write(folder, weights, made, scope)
        validate(folder, json.loads((base.folder / "config.json").read_bytes()), manifest.rank)
        ref = publish_files(objects, tenant=job.tenant, adapter=job.adapter, folder=folder, manifest=manifest)
    return Revision(
        ref=ref,
        job=job.id,
        rank=manifest.rank,
        size_bytes=manifest.size_bytes,
        base_model=base.name,
        base_model_revision=base.revision,
        sentences=made.sentences,
        pairs=made.pairs,
        final_loss=losses[-1],
        losses=tuple(losses),
        created_at=manifest.created_at,
    )


def write_system_adapter(folder: Path, weights: Mapping[str, Tensor], made: Made) -> Manifest:
    """Writes an adapter that no tenant owns, with its manifest, to a new folder. OSError."""
    folder.mkdir(parents=True)
    manifest = _write(folder, weights, made)
    (folder / MANIFEST).write_bytes(manifest.to_bytes())
    return manifest


def _write(folder: Path, weights: Mapping[str, Tensor], made: Made, scope: Tensor | None = None) -> Manifest:
    """Writes PEFT's two files to the folder, and the scope's; their manifest, which is not written."""
    rank, scaling = rank_of(weights), made.hyperparameters.scaling
    write_adapter(folder, weights, base_model=made.base.name, scaling=scaling)
    names = [CONFIG, WEIGHTS]
    if scope is not None:
        (folder / SCOPE).write_bytes(save({SCORES: scope.unsqueeze(0)}))
        names.append(SCOPE)
    return Manifest(
        files=describe(folder, names),
        base_model=made.base.name,
        base_model_revision=made.base.revision,
        rank=rank,
        alpha=scaling * rank,
        target_modules=target_modules(weights),
        template=made.template,
        hyperparameters=asdict(made.hyperparameters),
        data_sha256=made.data_sha256,
        sentences=made.sentences,
        pairs=made.pairs,
        created_at=datetime.now(UTC),
    )


def _write_aligned(file: Path, content: bytes) -> None:
    """Writes safetensors, with as many spaces behind the header as let the tensors begin at a multiple of ALIGNMENT.

    The format allows spaces there, and an engine on a CPU answers from the file's pages.
    """
    view = memoryview(content)
    end = LENGTH_BYTES + int.from_bytes(view[:LENGTH_BYTES], "little")
    spaces = -end % ALIGNMENT
    with file.open("wb") as into:
        into.write((end - LENGTH_BYTES + spaces).to_bytes(LENGTH_BYTES, "little"))
        into.write(view[LENGTH_BYTES:end])
        into.write(b" " * spaces)
        into.write(view[end:])


def write_adapter(folder: Path, weights: Mapping[str, Tensor], *, base_model: str, scaling: float) -> None:
    """Writes the weights as they are, and the configuration that PEFT and vLLM read: a plain LoRA and no more.

    `scaling`: s of W + s B A.
    """
    rank = rank_of(weights)
    _write_aligned(folder / WEIGHTS, save(dict(weights), metadata={"format": "pt"}))
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": scaling * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
        "fan_in_fan_out": False,
        "modules_to_save": None,
        "target_modules": list(target_modules(weights)),
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2))


def target_modules(weights: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The last parts of the adapted layers' names, such as q_proj, of weights under PEFT's names."""
    return tuple(sorted({layer_of(name).rpartition(".")[2] for name in weights}))
