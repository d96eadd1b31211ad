"""Teaches a primer: `python -m trainer.priming`, which `lift primer` becomes.

First-order MAML (Finn, Abbeel and Levine, 2017; Nichol, Achiam and Schulman, 2018): of each lesson, an adapter that
begins at the primer learns the pairs as it would those of a tenant's document. The gradient, there, of the loss of what
people asked moves the primer. So it becomes the place from which what is learned is found by other words.
"""

import json
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Annotated, Any
from zlib import crc32

import structlog
import torch
import typer
from torch import Tensor, nn

from lift import logs
from lift.cli.options import BaseModelName, Device, Json, ManifestName, NewFolder
from lift.cli.output import print_object
from lift.commands import must_be_new, run
from lift.errors import InvalidOption
from lift.settings import Settings
from lift.teaching import Course, Lesson, Pair, lessons_of
from lift.template import PromptTemplate
from storage.base_model import folder_of
from storage.files import MANIFEST
from storage.revisions import Manifest, describe
from trainer.base_model import embedded, load
from trainer.examples.batches import Example, epoch
from trainer.examples.beside import Beside
from trainer.examples.word_dropout import WordDropout
from trainer.jobs.publish import Made, write_adapter, write_system_adapter
from trainer.learners.decomposition import rank_of, shrunk
from trainer.learners.learner import Adapter
from trainer.learners.primer import Primer, manifest_of, whitener_of
from trainer.learners.whitening import Whitener, whiteners
from trainer.profiles import PROFILES, Hyperparameters
from trainer.workshop import Workshop

log = structlog.get_logger()

RECIPE = replace(  # a lesson is a fifth of a document: smaller batches, larger steps
    PROFILES["primed"], learning_rate=3e-3, epochs=3, batch_size=16, least_steps=0, held_out=0.0
)
RANK = 8  # of a primer; adapters have the recipe's
RATE = 1e-3  # of the primer's steps, one a lesson; rises over the first lessons and falls to 0
FIRST_LESSONS = 10
BETAS = (0.9, 0.99)
CLIP_NORM = 1.0
MEASURED_LESSONS = 6
SAID_EVERY = 10

app = typer.Typer(name="lift primer", no_args_is_help=True, add_completion=False)


def read_lessons(file: Path, count: int, seed: int) -> Course[Lesson]:
    """So many of a JSON lines file, drawn at random; 0: all. InvalidOption: none, or a line that is no lesson."""
    shuffler = random.Random(seed)  # noqa: S311 - an order, no secret

    def shuffled(content: bytes) -> list[Lesson]:
        found = list(lessons_of(content))
        shuffler.shuffle(found)
        return found

    course = Course.read(file, shuffled, lambda lesson: lesson.title)
    return replace(course, taught=course.taught[: count or None], held_out=course.held_out[:MEASURED_LESSONS])


class Teaching:
    """Has adapters learn lessons, in a workshop."""

    def __init__(self, workshop: Workshop, hyperparameters: Hyperparameters) -> None:
        # This thread computes as well, and beside one that a shared learner has, both would be slower.
        self._learner = workshop.unshared
        self.workshop = workshop
        self.hyperparameters = hyperparameters
        self._encoder = workshop.encoder(hyperparameters.max_pair_tokens)

    def begun(self, rank: int) -> Primer:
        """The primer that says nothing: A random, B zero."""
        with self._learner.adapter(replace(self.hyperparameters, rank=rank, primer=0.0)) as adapter:
            weights = {name: weight.float() for name, weight in adapter.weights().items()}
        return Primer(weights=weights, scaling=self.hyperparameters.scaling)

    def moving(self, primer: Primer) -> "MovingPrimer":
        """The primer as lessons move it. InvalidOption: its rank is above that of the adapters."""
        chosen, rank = self.hyperparameters, rank_of(primer.weights)
        if rank > chosen.rank:
            raise InvalidOption(option="rank", value=rank, expected=f"at most {chosen.rank}, which adapters have here")
        like = next(iter(primer.weights.values()))
        return MovingPrimer(primer, chosen, whiteners(self.workshop.spectra, chosen.whitening, like))

    def can_use(self, lesson: Lesson) -> bool:
        """Whether something that people asked is short enough to be learned."""
        return bool(self._examples(lesson.asked))

    def gradients(self, primer: Primer, lesson: Lesson) -> tuple[dict[str, Tensor], float]:
        """Of that of `loss`, by the weights of the adapter that has it, under PEFT's names in fp32; and the loss."""
        with self._learner.adapter(self.hyperparameters, primer) as adapter:
            self._learn(adapter, lesson.pairs)
            return adapter.gradients(self._examples(lesson.asked))

    def loss(self, primer: Primer, lesson: Lesson) -> float:
        """Of what people asked, in nats per answer token, once the lesson's pairs are learned."""
        with self._learner.adapter(self.hyperparameters, primer) as adapter:
            self._learn(adapter, lesson.pairs)
            return adapter.loss(self._examples(lesson.asked))

    def _learn(self, adapter: Adapter, pairs: Sequence[Pair]) -> None:
        chosen, examples = self.hyperparameters, self._examples(pairs)
        seed = crc32(json.dumps([example.tokens for example in examples]).encode())  # others for each lesson
        shuffler = random.Random(seed)  # noqa: S311 - an order, no secret
        dropout = WordDropout(self._encoder, chosen.word_dropout, seed)
        beside = Beside(self.workshop.beside(chosen), seed)
        for number in range(chosen.epochs):
            batches = epoch(examples, chosen.batch_size, shuffler)
            for at, batch in enumerate(batches):
                taken = dropout.of(batch) if number else batch
                adapter.step(beside.added_to(taken), chosen.left_after((number + at / len(batches)) / chosen.epochs))

    def _examples(self, pairs: Sequence[Pair]) -> list[Example]:
        """Those that are not too long."""
        encoder = self._encoder
        made = (
            encoder.encode(each.question, each.answer) if each.question else encoder.text(each.answer) for each in pairs
        )
        return [example for example in made if example]


class MovingPrimer:
    """A primer and the optimizer that moves it, which steps A' in place of an A that has a whitener (`whitening`)."""

    def __init__(self, primer: Primer, hyperparameters: Hyperparameters, whitened: Mapping[str, Whitener]) -> None:
        """`hyperparameters`: of the adapters that begin at it."""
        self._scaling = hyperparameters.scaling
        self._whiteners = {name: whitener_of(name, whitened) for name in primer.weights}
        self._masters = {name: torch.zeros_like(weight, dtype=torch.float32) for name, weight in primer.weights.items()}
        primer.begin(self._masters, replace(hyperparameters, primer=1.0), whitened)
        self._optimizer = torch.optim.Adam(self._masters.values(), betas=BETAS)

    @property
    def primer(self) -> Primer:
        """As it stands, in fp32."""
        weights = {
            name: whitener(master) if (whitener := self._whiteners[name]) else master.clone()
            for name, master in self._masters.items()
        }
        return Primer(weights=weights, scaling=self._scaling)

    def move(self, gradients: Mapping[str, Tensor], rate: float) -> None:
        """One step against gradients of an adapter, whose rows of A and columns of B beyond its rank are left out."""
        for name, master in self._masters.items():
            rows, columns = master.shape
            own, whitener = gradients[name][:rows, :columns].to(master), self._whiteners[name]
            master.grad = whitener(own) if whitener else own.clone()
        nn.utils.clip_grad_norm_(self._masters.values(), CLIP_NORM)
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.step()


def teach(lessons: Course[Lesson], teaching: Teaching, begun: Primer, folder: Path, name: str) -> dict[str, Any]:
    """Writes what lessons make of a primer to a new folder.

    What it took, and the losses on the lessons held out, before and after. InvalidOption: its rank is above that of the
    adapters which learn them.
    """
    began = time.monotonic()
    moving = teaching.moving(begun)
    taught, measured = (list(filter(teaching.can_use, each)) for each in (lessons.taught, lessons.held_out))
    before = _mean_loss(teaching, moving.primer, measured)
    for number, lesson in enumerate(taught):
        gradients, loss = teaching.gradients(moving.primer, lesson)
        moving.move(gradients, RATE * min(1.0, (number + 1) / FIRST_LESSONS) * (1 - number / len(taught)))
        if number % SAID_EVERY == 0:
            log.info("teaching", lesson=number, lessons=len(taught), asked_loss=round(loss, 3))
    primer = moving.primer
    after = _mean_loss(teaching, primer, measured)
    made = Made(
        base=replace(teaching.workshop.base, name=name),
        template=teaching.workshop.template,
        hyperparameters=teaching.hyperparameters,
        data_sha256=lessons.sha256,
        sentences=len(taught),
        pairs=sum(len(lesson.pairs) for lesson in taught),
    )
    manifest = write_system_adapter(folder, {name: weight.bfloat16() for name, weight in primer.weights.items()}, made)
    return {
        "folder": str(folder),
        "lessons": len(taught),
        "pairs": manifest.pairs,
        "held_out_lessons": len(measured),
        "held_out_loss_before": before,
        "held_out_loss": after,
        "size_bytes": manifest.size_bytes,
        "seconds": round(time.monotonic() - began, 1),
    }


def write_shrunk(folder: Path, rank: int, base_model: str, out: Path) -> Manifest:
    """Writes the nearest primer of a smaller rank to a new folder; what else its manifest says of it stays.

    `base_model`: whose it has to be, where empty the embedded one; it is not loaded. PrimerRejected: the folder holds
    none of it. InvalidOption: the rank is above its own. BaseModelMissing.
    """
    manifest = manifest_of(folder)
    primer = Primer.read(folder, folder_of(base_model or embedded()))
    weights = shrunk(primer.weights, rank)
    out.mkdir(parents=True)
    write_adapter(out, weights, base_model=manifest.base_model, scaling=primer.scaling)
    written = manifest.model_copy(update={"files": describe(out), "rank": rank, "alpha": primer.scaling * rank})
    (out / MANIFEST).write_bytes(written.to_bytes())
    return written


def _mean_loss(teaching: Teaching, primer: Primer, lessons: Sequence[Lesson]) -> float | None:
    """None where there are none."""
    return round(mean(teaching.loss(primer, lesson) for lesson in lessons), 4) if lessons else None


@app.callback()
def primer() -> None:
    """The weights at which adapters begin, taught on lessons (`python -m generator.lessons`)."""


@app.command()
def train(
    data: Annotated[Path, typer.Option(help="Lessons as JSON lines, which generator.lessons makes.")],
    out: NewFolder,
    *,
    begin: Annotated[Path | None, typer.Option(help="Folder of a primer to begin at; default: none.")] = None,
    base_model: BaseModelName = "",
    name: ManifestName = "",
    rank: Annotated[
        int, typer.Option(min=1, help="LoRA rank of a primer begun anew; the size follows from it.")
    ] = RANK,
    lessons: Annotated[int, typer.Option(min=0, help="How many to learn, drawn at random; 0: all.")] = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Teach a primer, and measure it on titles it has not seen."""
    must_be_new(out)
    if begin:
        manifest_of(begin)  # before the base model is loaded, which takes its time
    read = read_lessons(data, lessons, RECIPE.seed)
    base = load(base_model or str(embedded()), device, threads=0)
    template = PromptTemplate.for_vocabulary(base.tokenizer.get_vocab())
    workshop = Workshop(base, template, Settings.read().state_dir / "cache", devices=1)
    teaching = Teaching(workshop, RECIPE)
    begun = Primer.read(begin, base.folder) if begin else teaching.begun(rank)
    result = teach(read, teaching, begun, out, name or base.name)
    print_object(result, as_json)


@app.command()
def shrink(
    primer: Annotated[Path, typer.Option(help="Folder of a primer.")],
    out: NewFolder,
    rank: Annotated[int, typer.Option(min=1, help="LoRA rank of what is written.")],
    *,
    base_model: BaseModelName = "",
    as_json: Json = False,
) -> None:
    """Write the nearest primer of a smaller rank, which no adapter of that rank or a larger one has to wait for."""
    must_be_new(out)
    manifest = write_shrunk(primer, rank, base_model, out)
    result = {"folder": str(out), "rank": manifest.rank, "size_bytes": manifest.size_bytes}
    print_object(result, as_json)


if __name__ == "__main__":
    logs.configure(as_json=not sys.stderr.isatty(), role="primer")
    run(app)
