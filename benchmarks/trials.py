"""Trains an adapter on a document's kept pairs with the learner of this process, and asks it closed-book."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

from benchmarks.closed_book import answers, chances, merged
from benchmarks.replay import PREFIX, Unwatched, journal, replayed
from evals.cases import Case, Document, Question, digest_of
from evals.datasets.forgetting import GENERAL
from evals.datasets.reading import questions_of
from evals.scores import contains
from lift.errors import GeneratorUnavailable
from lift.internal.v1.generator_pb2 import Coverage, GenerateResponse, Plan
from lift.kept import written_whole
from lift.settings import Settings
from storage.memory import MemoryObjects
from trainer.jobs.generation import Generator, Source
from trainer.jobs.shrink import shrink
from trainer.jobs.stream import PairStream
from trainer.jobs.teacher import Teacher
from trainer.jobs.training import train
from trainer.learners.decomposition import rank_of
from trainer.profiles import hyperparameters
from trainer.workshop import Workshop

ANSWER_TOKENS = 64
WRITING = ("generation_profile", "strategy", "pairs_per_sentence", "custom_prompt")
"""Options on which the pairs depend."""

Choice = Mapping[str, Any]
"""Training options by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of a choice for one document. `kept`: of the `general` questions that the base model answers right.

    `rank`: of the weights that were asked; less than the trained one where they were shrunk.

    `expected`: of how many questions the answer is right on the mean, were answers drawn instead of the likeliest
    taken, counting answers that were trained; less of it is noise than of `right`.
    """

    right: int
    expected: float
    questions: int
    kept: int
    general: int
    pairs: int
    rank: int
    steps: int
    final_loss: float
    seconds: float


class Trials:
    """A base model, its learner, and a folder of pairs."""

    def __init__(self, settings: Settings, folder: Path, say: Callable[[str], None]) -> None:
        """Asks the base model what it knows. BaseModelMissing."""
        self._settings = settings
        self._folder = folder
        self._say = say
        self._workshop = Workshop.of(settings)
        questions = questions_of(GENERAL, "")
        self._general = list(compress(questions, self._are_right(questions)))
        self._say(f"the base model knows {len(self._general)} of {len(questions)} general questions")

    def tried(self, case: Case, choice: Choice) -> Tried:
        """Trains an adapter and asks it. GeneratorUnavailable; InvalidOption: training diverged; NothingWritten."""
        chosen = hyperparameters(choice, self._settings.trainer.profile, self._settings.model.max_lora_rank)
        stream = self._pairs(case.document, choice)
        encoder = self._workshop.encoder(chosen.max_pair_tokens)
        beside = self._workshop.beside(chosen)
        teacher = Teacher.of(self._workshop.base, encoder, [_source(case.document)], stream, chosen.distil_share)
        with stream, self._workshop.learner.adapter(chosen, self._workshop.primer) as adapter:
            began_at = time.perf_counter()
            training = train(stream, encoder, adapter, chosen, Unwatched(), beside=beside, teacher=teacher)
            weights = shrink(adapter, training.examples, chosen)
            seconds = time.perf_counter() - began_at
        with merged(self._workshop, weights, chosen.scaling):
            right, kept = sum(self._are_right(case.questions)), sum(self._are_right(self._general))
            taught = list(dict.fromkeys(pair.answer for pair in training.pairs))
            expected = sum(self._chance(question, taught) for question in case.questions)
        return Tried(
            right=right,
            expected=expected,
            questions=len(case.questions),
            kept=kept,
            general=len(self._general),
            pairs=len(training.pairs),
            rank=rank_of(weights),
            steps=training.steps,
            final_loss=training.losses[-1],
            seconds=seconds,
        )

    def _are_right(self, questions: Sequence[Question]) -> list[bool]:
        said = answers(self._workshop, [question.text for question in questions], ANSWER_TOKENS)
        asked = zip(said, questions, strict=True)
        return [contains(answer, question.references, question.keywords) > 0 for answer, question in asked]

    def _chance(self, question: Question, taught: Sequence[str]) -> float:
        """The probability that one of the taught answers that are right is given."""
        right = [answer for answer in taught if contains(answer, question.references, question.keywords)]
        return sum(chances(self._workshop, question.text, right))

    def _pairs(self, document: Document, choice: Choice) -> PairStream:
        """The document's pairs, as those kept in the folder; where there are none, they are written and kept first."""
        written_by = json.dumps(writing(choice, self._settings), sort_keys=True)
        file = self._folder / f"pairs-{digest_of(document.text, written_by)}.jsonl"
        if not _plan_beside(file).exists():
            self._say(f"{document.title}: questions are being written")
            self._write(document, _of_writing(choice), file)
        objects = MemoryObjects()
        objects.put(f"{PREFIX}0000000001-00000000.jsonl", file.read_bytes())
        plan = Plan.FromString(_plan_beside(file).read_bytes())
        return replayed([GenerateResponse(plan=plan), GenerateResponse(coverage=Coverage())], objects)

    def _write(self, document: Document, writing: Choice, file: Path) -> None:
        """Keeps the pairs in the file, and beside it where each sentence stands."""
        objects = MemoryObjects()
        address, token = self._settings.generator.address, self._settings.node_token.get_secret_value()
        with (
            closing(Generator(address, token)) as generator,
            PairStream(journal(objects), lambda done: generator.generate([_source(document)], writing, done)) as stream,
        ):
            while not stream.exhausted:
                stream.take(1, lambda: None)
        chunks = [objects.get(key) for key in objects.list(PREFIX)]
        if not chunks:
            raise GeneratorUnavailable(problem="it wrote nothing")
        with written_whole(file) as unfinished:
            unfinished.write_bytes(b"\n".join(chunks))
        with written_whole(_plan_beside(file)) as unfinished:  # last, since it says that both are there
            unfinished.write_bytes(Plan(sentences=stream.plan).SerializeToString())


def writing(choice: Choice, settings: Settings) -> dict[str, Any]:
    """All that pairs of one document depend on: options, and the stack's generator."""
    generator = settings.generator
    own = {"strategy": generator.strategy, "model": generator.model, "writer": generator.writer}
    return {**own, **_of_writing(choice)}


def _of_writing(choice: Choice) -> Choice:
    return {name: choice[name] for name in WRITING if name in choice}


def _source(document: Document) -> Source:
    return Source(title=document.title, text=document.text)


def _plan_beside(pairs: Path) -> Path:
    return pairs.with_suffix(".plan")
