"""Turns a stream of pairs into trained LoRA weights, from the first pairs on while others are being written."""

import hashlib
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from lift.errors import InvalidOption, NothingWritten, TimedOut, Unavailable
from storage.journal import Pair
from storage.records import Stage
from trainer.ahead import Ahead
from trainer.batches import Encoder, Example, draw, epoch, take
from trainer.beside import Beside, Share
from trainer.hold import Watch
from trainer.learner import Adapter
from trainer.memory import give_back
from trainer.profiles import Hyperparameters
from trainer.rest import EPOCHS_BEFORE, awake
from trainer.second_round import second_round, weak_sentences
from trainer.stream import PairStream
from trainer.teacher import Teacher
from trainer.word_dropout import WordDropout

log = structlog.get_logger()


STEPS_BETWEEN_TRIMS = 50
SMALLEST_BATCH = 8  # pairs that a short document has in a step; fewer cost nearly as much

RAW = "raw"
"""Kind of a pair that is a piece of the document, without a question."""

UNLIKE_A_PERSONS = frozenset({"cloze", "inverted", RAW})
"""Kinds of pairs that recall is not measured on: rules wrote them, or nobody did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What came out. `losses`: mean per answer token of each epoch, in nats; `data_sha256`, `examples`: of `pairs`."""

    pairs: tuple[Pair, ...]
    held_out: tuple[Pair, ...]
    examples: tuple[Example, ...]
    steps: int
    losses: tuple[float, ...]
    data_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """The examples of a step, their epoch from 0, and the share of the epochs after the first that is to come."""

    examples: list[Example]
    epoch: int = 0
    left: float = 1.0


def train(
    stream: PairStream,
    encoder: Encoder,
    adapter: Adapter,
    hyperparameters: Hyperparameters,
    watch: Watch,
    *,
    beside: Sequence[Share] = (),
    teacher: Teacher | None = None,
    again: Callable[[frozenset[int]], PairStream] | None = None,
) -> Training:
    """Trains an adapter, made with the same hyperparameters, for all epochs.

    `beside`: what it learns besides its document. With a teacher, pairs are learned as it would answer them.
    `again` has new pairs written about the given sentences, for a second round.

    NothingWritten: there is no pair to train on. InvalidOption: the loss is no longer a number. And what `watch.check`
    and the stream raise.
    """
    material = _Material(encoder, hyperparameters.held_out, teacher)
    watch.report(stage=Stage.GENERATE)
    meter = _Meter(adapter, watch)
    others = Beside(beside, hyperparameters.seed)
    dropout = WordDropout(encoder, hyperparameters.word_dropout, hyperparameters.seed)
    ahead = Ahead(_epochs_after_first(hyperparameters), hyperparameters.batch_size, hyperparameters.seed)

    def learn(batch: _Batch) -> None:
        thinned = dropout.of(batch.examples) if batch.epoch else batch.examples
        meter.step(others.added_to(thinned), batch.left, batch.epoch)

    for batch in _while_written(stream, material, ahead, hyperparameters, watch):
        if not meter.steps:
            watch.took(first_step=stream.seconds)
        for _ in range(max(1, hyperparameters.passes_in_order)):
            learn(batch)
    if not material.examples:
        raise NothingWritten(pairs=len(material.pairs), left_out=material.left_out)
    watch.report(stage=Stage.TRAIN)
    for batch, to_come in _when_written(material.in_order(), adapter, ahead, hyperparameters):
        watch.check()
        watch.report(steps=meter.steps + to_come)
        learn(batch)
    if again and hyperparameters.second_round:
        _second_round(again, material, adapter, hyperparameters, watch, meter=meter, others=others)
    log.info(
        "training_ended", pairs=len(material.examples), left_out=material.left_out, steps=meter.steps, **meter.figures()
    )
    return Training(
        pairs=tuple(material.pairs),
        held_out=tuple(material.held_out),
        examples=tuple(material.in_order()),
        steps=meter.steps,
        losses=meter.losses(),
        data_sha256=material.sha256(),
    )


def _epochs_after_first(hyperparameters: Hyperparameters) -> int:
    return 0 if hyperparameters.passes_in_order else hyperparameters.epochs - 1


def later_epochs(examples: int, hyperparameters: Hyperparameters) -> tuple[int, int]:
    """Pairs a step and number of the epochs after the first, so that they have `least_steps` steps if there are any."""
    epochs = _epochs_after_first(hyperparameters)
    least = hyperparameters.least_steps
    if not least or not epochs:
        return hyperparameters.batch_size, epochs
    batch_size = min(hyperparameters.batch_size, max(SMALLEST_BATCH, examples * epochs // least))
    return batch_size, max(epochs, math.ceil(least / math.ceil(examples / batch_size)))


def _while_written(
    stream: PairStream, material: "_Material", ahead: Ahead, hyperparameters: Hyperparameters, watch: Watch
) -> Iterator[_Batch]:
    """Batches from whatever has come, until everything has been in one of the first epoch.

    While less than a batch is new and more may come, what was learned is learned ahead; blocks where nothing is left.
    """
    batch_size = hyperparameters.batch_size
    shuffler = random.Random(hyperparameters.seed)  # noqa: S311 - the order of training is no secret
    waiting: list[Example] = []
    learned: list[Example] = []

    def look_up() -> None:
        watch.check()
        watch.report(sentences=stream.sentences, sentences_done=stream.sentences_done, pairs=stream.pairs)
        watch.took(first_pair=stream.seconds_to_first_pair, generate=stream.seconds_to_last_pair)

    while waiting or not stream.exhausted:
        waiting += material.add(stream.take(0, look_up))
        look_up()
        if len(waiting) >= batch_size or (waiting and stream.exhausted):
            in_order = hyperparameters.passes_in_order > 0
            batch = take(waiting, batch_size) if in_order else draw(waiting, batch_size, shuffler)
            learned += batch
            yield _Batch(examples=batch)
        elif (again := ahead.batch(learned)) is not None:
            later, batch = again
            yield _Batch(examples=batch, epoch=later + 1, left=1 - later / _epochs_after_first(hyperparameters))
        else:
            waiting += material.add(stream.take(batch_size - len(waiting), look_up))
    look_up()  # the last sentence may have been finished after its last pair was taken


def _when_written(
    examples: Sequence[Example], adapter: Adapter, ahead: Ahead, hyperparameters: Hyperparameters
) -> Iterator[tuple[_Batch, int]]:
    """Batches of the epochs after the first, without what was learned ahead; with each, how many steps are to come."""
    batch_size, epochs = later_epochs(len(examples), hyperparameters)
    shuffler = random.Random(hyperparameters.seed)  # noqa: S311 - the order of training is no secret
    due = [ahead.due(examples, number) for number in range(epochs)]
    for number, wanted in enumerate(due):
        rests = hyperparameters.rest_below and number + 1 >= EPOCHS_BEFORE
        taken = awake(wanted, adapter.worst, hyperparameters.rest_below, shuffler) if rests else wanted
        batches = epoch(taken, batch_size, shuffler)
        behind = sum(math.ceil(len(later) / batch_size) for later in due[number + 1 :])
        for at, batch in enumerate(batches):
            left = 1 - (number + at / len(batches)) / epochs
            yield _Batch(examples=batch, epoch=number + 1, left=left), len(batches) - at + behind


def _second_round(
    again: Callable[[frozenset[int]], PairStream],
    material: "_Material",
    adapter: Adapter,
    hyperparameters: Hyperparameters,
    watch: Watch,
    *,
    meter: "_Meter",
    others: Beside,
) -> None:
    """One more round for the weak sentences. A generator that fails costs the new questions, not the job."""
    weak = weak_sentences(adapter, material.learned)
    log.info("second_round", weak_sentences=len(weak))
    if not weak:
        return
    before = len(material.examples)
    try:
        with again(weak) as stream:
            while not stream.exhausted:
                material.add(stream.take(1, watch.check))
    except (Unavailable, TimedOut) as outage:
        log.warning("second_round_without_new_pairs", error=str(outage))
    log.info("second_round_written", pairs=len(material.examples) - before)
    batches = list(second_round(material.learned, weak, meter.steps, hyperparameters))
    watch.report(steps=meter.steps + len(batches))
    number = len(meter.losses())
    for batch, left in batches:
        watch.check()
        meter.step(others.added_to(batch), left, number)


class _Material:
    """The pairs that have come, each tokenised once."""

    def __init__(self, encoder: Encoder, held_out_share: float, teacher: Teacher | None) -> None:
        self._encoder = encoder
        self._held_out_share = held_out_share
        self._teacher = teacher
        self._taught: set[tuple[int, str]] = set()
        self._seen: set[Pair] = set()
        self.pairs: list[Pair] = []
        self.held_out: list[Pair] = []
        self.examples: list[Example] = []
        self.left_out = 0

    def add(self, pairs: Sequence[Pair]) -> list[Example]:
        """The examples of the new pairs to train on; those that are too long or empty are left out and counted."""
        added = []
        for pair in pairs:
            if pair in self._seen:
                continue
            self._seen.add(pair)
            is_text = pair.kind == RAW
            example = self._encoder.text(pair.answer) if is_text else self._encoder.encode(pair.question, pair.answer)
            if example is None:
                self.left_out += 1
            elif self._is_held_out(pair):
                self.held_out.append(pair)
            else:
                self._taught.add((pair.sentence_index, pair.answer))
                self.pairs.append(pair)
                added.append((pair, example))
        examples = self._expected(added)
        self.examples += examples
        return examples

    def _expected(self, added: Sequence[tuple[Pair, Example]]) -> list[Example]:
        """The examples as the teacher would answer them; text has no question to ask it."""
        if self._teacher is None:
            return [example for _, example in added]
        asked = [(pair.sentence_index, pair.question, example) for pair, example in added if pair.kind != RAW]
        taught = iter(self._teacher.taught(asked))
        return [example if pair.kind == RAW else next(taught) for pair, example in added]

    def _is_held_out(self, pair: Pair) -> bool:
        """Whether the share has room for the pair, and another question teaches its answer: no fact is given up."""
        due = self._held_out_share * (len(self.pairs) + len(self.held_out) + 1)
        answered = (pair.sentence_index, pair.answer) in self._taught
        return len(self.held_out) + 1 <= due and answered and pair.kind not in UNLIKE_A_PERSONS

    @property
    def learned(self) -> list[tuple[int, Example]]:
        """The examples, each with its sentence."""
        return [(pair.sentence_index, example) for pair, example in zip(self.pairs, self.examples, strict=True)]

    def in_order(self) -> list[Example]:
        """The examples in an order that does not depend on which pair came first, so that a seed repeats a run."""
        return sorted(self.examples, key=lambda example: example.tokens)

    def sha256(self) -> str:
        """Identifies the set of pairs."""
        pairs = sorted((pair.sentence_index, pair.question, pair.answer) for pair in self.pairs)
        return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()


class _Meter:
    """Steps the adapter and reports how that goes."""

    def __init__(self, adapter: Adapter, watch: Watch) -> None:
        self._adapter = adapter
        self._watch = watch
        self._began_at = 0.0
        self._seconds = 0.0
        self._stepping_seconds = 0.0
        self._tokens = 0
        self.steps = 0
        self._epochs: dict[int, tuple[float, int]] = {}  # sum of the loss over answer tokens, and how many there were

    def step(self, batch: Sequence[Example], left: float = 1.0, epoch: int = 0) -> None:
        """One optimizer step. InvalidOption: the loss is no longer a number."""
        step_began_at = time.monotonic()
        self._began_at = self._began_at or step_began_at
        loss = self._adapter.step(batch, left)
        if not math.isfinite(loss):
            raise InvalidOption(option="learning_rate", problem="training diverged", step=self.steps)
        self.steps += 1
        answer_tokens = sum(example.answer_tokens for example in batch)
        self._tokens += sum(len(example.tokens) for example in batch)
        loss_sum, seen = self._epochs.get(epoch, (0.0, 0))
        self._epochs[epoch] = (loss_sum + loss * answer_tokens, seen + answer_tokens)
        if self.steps % STEPS_BETWEEN_TRIMS == 0:
            give_back()
        ended_at = time.monotonic()
        self._seconds = ended_at - self._began_at
        self._stepping_seconds += ended_at - step_began_at
        self._watch.report(step=self.steps, loss=loss)
        self._watch.took(train=self._seconds, starved=self._seconds - self._stepping_seconds)

    def losses(self) -> tuple[float, ...]:
        """Mean loss per answer token of each epoch, in nats."""
        return tuple(loss_sum / answer_tokens for _, (loss_sum, answer_tokens) in sorted(self._epochs.items()))

    def figures(self) -> dict[str, float]:
        """Seconds from the first step to the last, and useful tokens a second, waits for the generator included."""
        return {"seconds": round(self._seconds, 3), "tokens_per_second": round(self._tokens / self._seconds, 1)}
