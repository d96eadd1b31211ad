"""Turns a stream of pairs into trained LoRA weights: the first epoch while pairs are being written, the rest after."""

import hashlib
import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from lift.errors import InvalidOption, NothingWritten, TimedOut, Unavailable
from storage.journal import Pair
from storage.records import Stage
from trainer.batches import Encoder, Example, draw, epoch, take
from trainer.beside import Beside, Share
from trainer.hold import Watch
from trainer.learner import Adapter
from trainer.memory import give_back
from trainer.profiles import Hyperparameters
from trainer.rest import EPOCHS_BEFORE, awake, seen
from trainer.second_round import second_round, weak_sentences
from trainer.stream import PairStream
from trainer.teacher import Teacher
from trainer.word_dropout import WordDropout

log = structlog.get_logger()


STEPS_BETWEEN_TRIMS = 50
SMALLEST_BATCH = 8  # pairs that a short document has in a step; fewer cost nearly as much

RAW = "raw"
"""Kind of a pair that is a piece of the document, without a question."""

OF_RULES = frozenset({"cloze", "inverted"})
"""Kinds of pairs that rules wrote."""

UNLIKE_A_PERSONS = OF_RULES | {RAW}
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
    for batch in _first_epoch(stream, material, hyperparameters, watch):
        if not meter.steps:
            watch.took(first_step=stream.seconds)
        for _ in range(max(1, hyperparameters.passes_in_order)):
            meter.step(others.added_to(batch))
    if not material.examples:
        raise NothingWritten(pairs=len(material.pairs), left_out=material.left_out)
    examples = material.in_order(hyperparameters.enough_questions)
    batch_size, epochs = later_epochs(len(examples), hyperparameters)
    shuffler = random.Random(hyperparameters.seed)  # noqa: S311 - the order of training is no secret
    dropout = WordDropout(encoder, hyperparameters.word_dropout, hyperparameters.seed)
    worst: dict[Example, float] = {}
    watch.report(stage=Stage.TRAIN)
    for number in range(epochs):
        meter.new_epoch()
        rests = hyperparameters.rest_below and number + 1 >= EPOCHS_BEFORE
        taken = awake(examples, worst, hyperparameters.rest_below, shuffler) if rests else examples
        batches = epoch(taken, batch_size, shuffler)
        watch.report(steps=meter.steps + len(batches) * (epochs - number))
        for at, batch in enumerate(batches):
            watch.check()
            left = hyperparameters.left_after((number + at / len(batches)) / epochs)
            learned = dropout.of(batch)
            meter.step(others.added_to(learned), left)
            worst |= seen(batch, learned, adapter.worst)
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


def later_epochs(examples: int, hyperparameters: Hyperparameters) -> tuple[int, int]:
    """Pairs a step and number of the epochs after the first, so that they have `least_steps` steps if there are any."""
    epochs = 0 if hyperparameters.passes_in_order else hyperparameters.epochs - 1
    least = hyperparameters.least_steps
    if not least or not epochs:
        return hyperparameters.batch_size, epochs
    batch_size = min(hyperparameters.batch_size, max(SMALLEST_BATCH, examples * epochs // least))
    return batch_size, max(epochs, math.ceil(least / math.ceil(examples / batch_size)))


def _first_epoch(
    stream: PairStream, material: "_Material", hyperparameters: Hyperparameters, watch: Watch
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
        waiting += material.add(stream.take(batch_size - len(waiting), look_up))
        look_up()
        if len(waiting) >= batch_size or (waiting and stream.exhausted):
            in_order = hyperparameters.passes_in_order > 0
            yield take(waiting, batch_size) if in_order else draw(waiting, batch_size, shuffler)
    look_up()  # the last sentence may have been finished after its last pair was taken


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
    weak = weak_sentences(adapter, material.learned(hyperparameters.enough_questions))
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
    meter.new_epoch()
    learned = material.learned(hyperparameters.enough_questions)
    batches = list(second_round(learned, weak, meter.steps, hyperparameters))
    watch.report(steps=meter.steps + len(batches))
    for batch, left in batches:
        watch.check()
        meter.step(others.added_to(batch), left)


class _Material:
    """The pairs that have come, each tokenised once."""

    def __init__(self, encoder: Encoder, held_out_share: float, teacher: Teacher | None) -> None:
        self._encoder = encoder
        self._held_out_share = held_out_share
        self._teacher = teacher
        self._taught: set[tuple[int, str]] = set()
        self._seen: set[Pair] = set()
        self._asked_of: dict[str, int] = {}
        self.pairs: list[Pair] = []
        self.held_out: list[Pair] = []
        self.examples: list[Example] = []
        self.left_out = 0

    def add(self, pairs: Sequence[Pair]) -> list[Example]:
        """The examples of the new pairs to train on; those that are too long or empty are left out and counted."""
        added = []
        for pair in pairs:
            if pair in self._seen or self._is_of_another(pair):
                continue
            self._seen.add(pair)
            is_text = pair.kind == RAW
            example = self._encoder.text(pair.answer) if is_text else self._encoder.encode(pair.question, pair.answer)
            if example is None:
                self.left_out += 1
            elif self._is_held_out(pair):
                self.held_out.append(pair)
            else:
                self._taught.add(_fact(pair))
                self.pairs.append(pair)
                added.append((pair, example))
        examples = self._expected(added)
        self.examples += examples
        return examples

    def _is_of_another(self, pair: Pair) -> bool:
        """Whether its question was asked about another sentence first, and has that one's answer.

        A generator asks nothing twice in one stream; it does not know what earlier attempts had it ask.
        """
        question = " ".join(pair.question.lower().split())
        return bool(question) and self._asked_of.setdefault(question, pair.sentence_index) != pair.sentence_index

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
        answered = _fact(pair) in self._taught
        return len(self.held_out) + 1 <= due and answered and pair.kind not in UNLIKE_A_PERSONS

    def learned(self, enough: int = 0) -> list[tuple[int, Example]]:
        """The examples behind the first epoch, each with its sentence.

        Without what rules ask where `enough` other questions have the answer; 0: all.
        """
        asked_for = Counter(_fact(pair) for pair in self.pairs if pair.kind not in UNLIKE_A_PERSONS)
        return [
            (pair.sentence_index, example)
            for pair, example in zip(self.pairs, self.examples, strict=True)
            if not (enough and pair.kind in OF_RULES and asked_for[_fact(pair)] >= enough)
        ]

    def in_order(self, enough: int = 0) -> list[Example]:
        """What is learned, in an order that does not depend on which pair came first, so that a seed repeats a run."""
        return sorted((example for _, example in self.learned(enough)), key=lambda example: example.tokens)

    def sha256(self) -> str:
        """Identifies the set of pairs."""
        pairs = sorted((pair.sentence_index, pair.question, pair.answer) for pair in self.pairs)
        return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()


def _fact(pair: Pair) -> tuple[int, str]:
    """What a pair teaches, however it is asked for."""
    return pair.sentence_index, pair.answer


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
        self._epochs: list[tuple[float, int]] = []  # sum of the loss over answer tokens, and how many there were
        self.new_epoch()

    def new_epoch(self) -> None:
        """Starts the mean loss anew."""
        self._epochs.append((0.0, 0))

    def step(self, batch: Sequence[Example], left: float = 1.0) -> None:
        """One optimizer step. InvalidOption: the loss is no longer a number."""
        step_began_at = time.monotonic()
        self._began_at = self._began_at or step_began_at
        loss = self._adapter.step(batch, left)
        if not math.isfinite(loss):
            raise InvalidOption(option="learning_rate", problem="training diverged", step=self.steps)
        self.steps += 1
        answer_tokens = sum(example.answer_tokens for example in batch)
        self._tokens += sum(len(example.tokens) for example in batch)
        loss_sum, seen = self._epochs[-1]
        self._epochs[-1] = (loss_sum + loss * answer_tokens, seen + answer_tokens)
        if self.steps % STEPS_BETWEEN_TRIMS == 0:
            give_back()
        ended_at = time.monotonic()
        self._seconds = ended_at - self._began_at
        self._stepping_seconds += ended_at - step_began_at
        self._watch.report(step=self.steps, loss=loss)
        self._watch.took(train=self._seconds, starved=self._seconds - self._stepping_seconds)

    def losses(self) -> tuple[float, ...]:
        """Mean loss per answer token of each epoch, in nats."""
        return tuple(loss_sum / answer_tokens for loss_sum, answer_tokens in self._epochs)

    def figures(self) -> dict[str, float]:
        """Seconds from the first step to the last, and useful tokens a second, waits for the generator included."""
        return {"seconds": round(self._seconds, 3), "tokens_per_second": round(self._tokens / self._seconds, 1)}
