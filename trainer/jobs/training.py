"""Turns a stream of pairs into trained LoRA weights: the first epoch while pairs are being written, the rest after."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from lift.errors import NothingWritten, TimedOut, Unavailable
from lift.values import Stage
from storage.journal import Pair
from trainer.examples.batches import Encoder, Example, draw, epoch, take
from trainer.examples.beside import Beside, Portion
from trainer.examples.word_dropout import WordDropout
from trainer.jobs.hold import Watch
from trainer.jobs.material import TaughtPairs
from trainer.jobs.meter import Meter
from trainer.jobs.second_round import second_round, weak_sentences
from trainer.jobs.stream import PairStream
from trainer.jobs.teacher import Teacher
from trainer.learners.learner import Adapter
from trainer.profiles import Hyperparameters

SMALLEST_BATCH = 8  # pairs that a short document has in a step; fewer cost nearly as much

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What came out. `losses`: mean per answer token of each epoch, in nats; `data_sha256`, `examples`: of `pairs`."""

    pairs: tuple[Pair, ...]
    held_out: tuple[Pair, ...]
    examples: tuple[Example, ...]
    steps: int
    losses: tuple[float, ...]
    data_sha256: str


def train(
    stream: PairStream,
    encoder: Encoder,
    adapter: Adapter,
    hyperparameters: Hyperparameters,
    watch: Watch,
    *,
    beside: Sequence[Portion] = (),
    teacher: Teacher | None = None,
    again: Callable[[frozenset[int]], PairStream] | None = None,
) -> Training:
    """Trains an adapter, made with the same hyperparameters, for all epochs.

    `beside`: what it learns besides its document. With a teacher, pairs are learned as it would answer them.
    `again` has new pairs written about the given sentences, for a second round.

    NothingWritten: there is no pair to train on. InvalidOption: the loss is no longer a number. And what `watch.check`
    and the stream raise.
    """
    taught = TaughtPairs(encoder, hyperparameters.held_out, teacher)
    watch.report(stage=Stage.GENERATE)
    meter = Meter(adapter, watch)
    others = Beside(beside, hyperparameters.seed)
    for batch in _first_epoch(stream, taught, hyperparameters, watch):
        if not meter.steps:
            watch.took(first_step=stream.seconds)
        for _ in range(max(1, hyperparameters.passes_in_order)):
            meter.step(others.added_to(batch))
    if not taught.examples:
        raise NothingWritten(pairs=len(taught.pairs), left_out=taught.left_out)
    watch.report(stage=Stage.TRAIN)
    _later_epochs(encoder, taught, hyperparameters, watch, meter=meter, others=others)
    if again and hyperparameters.second_round:
        _second_round(again, taught, adapter, hyperparameters, watch, meter=meter, others=others)
    log.info(
        "training_ended", pairs=len(taught.examples), left_out=taught.left_out, steps=meter.steps, **meter.figures()
    )
    return Training(
        pairs=tuple(taught.pairs),
        held_out=tuple(taught.held_out),
        examples=tuple(taught.in_order()),
        steps=meter.steps,
        losses=meter.losses(),
        data_sha256=taught.sha256(),
    )


def later_epochs(examples: int, hyperparameters: Hyperparameters) -> tuple[int, int]:
    """Pairs a step and number of the epochs after the first, so that they have `least_steps` steps if there are any."""
    epochs = 0 if hyperparameters.passes_in_order else hyperparameters.epochs - 1
    least = hyperparameters.least_steps
    if not least or not epochs:
        return hyperparameters.batch_size, epochs
    batch_size = min(hyperparameters.batch_size, max(SMALLEST_BATCH, examples * epochs // least))
    return batch_size, max(epochs, math.ceil(least / math.ceil(examples / batch_size)))


def _first_epoch(
    stream: PairStream, taught: TaughtPairs, hyperparameters: Hyperparameters, watch: Watch
) -> Iterator[list[Example]]:
    """Batches from whatever has come; blocks while less than a batch is there and more may come."""
    batch_size = hyperparameters.batch_size
    shuffler = random.Random(hyperparameters.seed)  # noqa: S311 - the order of training is no secret
    waiting: list[Example] = []

    def look_up() -> None:
        watch.check()
        watch.report(sentences=stream.sentences, sentences_done=stream.sentences_done, pairs=stream.pairs)
        watch.took(first_pair=stream.seconds_to_first_pair, generate=stream.seconds_to_last_pair)

    while waiting or not stream.exhausted:
        waiting += taught.add(stream.take(batch_size - len(waiting), look_up))
        look_up()
        if len(waiting) >= batch_size or (waiting and stream.exhausted):
            in_order = hyperparameters.passes_in_order > 0
            yield take(waiting, batch_size) if in_order else draw(waiting, batch_size, shuffler)
    look_up()  # the last sentence may have been finished after its last pair was taken


def _later_epochs(
    encoder: Encoder,
    taught: TaughtPairs,
    hyperparameters: Hyperparameters,
    watch: Watch,
    *,
    meter: Meter,
    others: Beside,
) -> None:
    """The epochs over all that is learned, in an order that the seed repeats."""
    examples = taught.in_order(hyperparameters.enough_questions)
    batch_size, epochs = later_epochs(len(examples), hyperparameters)
    shuffler = random.Random(hyperparameters.seed)  # noqa: S311 - the order of training is no secret
    dropout = WordDropout(encoder, hyperparameters.word_dropout, hyperparameters.seed)
    for number in range(epochs):
        meter.new_epoch()
        batches = epoch(examples, batch_size, shuffler)
        watch.report(steps=meter.steps + len(batches) * (epochs - number))
        for at, batch in enumerate(batches):
            watch.check()
            left = hyperparameters.left_after((number + at / len(batches)) / epochs)
            meter.step(others.added_to(dropout.of(batch)), left)


def _second_round(
    again: Callable[[frozenset[int]], PairStream],
    taught: TaughtPairs,
    adapter: Adapter,
    hyperparameters: Hyperparameters,
    watch: Watch,
    *,
    meter: Meter,
    others: Beside,
) -> None:
    """One more round for the weak sentences. A generator that fails costs the new questions, not the job."""
    weak = weak_sentences(adapter, taught.learned(hyperparameters.enough_questions))
    log.info("second_round", weak_sentences=len(weak))
    if not weak:
        return
    before = len(taught.examples)
    try:
        with again(weak) as stream:
            while not stream.exhausted:
                taught.add(stream.take(1, watch.check))
    except (Unavailable, TimedOut) as outage:
        log.warning("second_round_without_new_pairs", error=str(outage))
    log.info("second_round_written", pairs=len(taught.examples) - before)
    meter.new_epoch()
    learned = taught.learned(hyperparameters.enough_questions)
    batches = list(second_round(learned, weak, meter.steps, hyperparameters))
    watch.report(steps=meter.steps + len(batches))
    for batch, left in batches:
        watch.check()
        meter.step(others.added_to(batch), left)
