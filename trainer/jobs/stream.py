"""Turns a job's journal and the generator's stream into pairs to train on, while they are being written (LIFT §3.3).

What the journal holds comes first and is never asked for again. What the generator writes is handed out at once, and
journaled for a later attempt.
"""

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import structlog

from lift.errors import GeneratorUnavailable, TimedOut
from lift.internal.v1 import generator_pb2
from lift.kinds import Kind
from storage.journal import Journal, Outcome, Pair
from trainer.jobs.generation import Generation
from trainer.jobs.recorder import Recorder

CHECK_SECONDS = 0.2
STALL_SECONDS = 900.0  # longer than a generator takes to give a sentence up

log = structlog.get_logger()


class PairStream:
    """The pairs of one job; its `with` block holds the generator's call and the threads that read and record it.

    `plan` says where each sentence stands, once it is known; `sentences_done` and `pairs` count what is known so far,
    the journal's included.
    `seconds_to_first_pair` and `seconds_to_last_pair` run from the start of this attempt.
    """

    def __init__(self, journal: Journal, generate: Callable[[Sequence[int]], Generation]) -> None:
        """`generate` starts writing about every sentence but those of the given indices."""
        self._journal = journal
        self._generate = generate
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="stream-reader", daemon=True)
        self._generation: Generation  # begun with the block
        self._began_at = self._heard_at = 0.0
        self._fresh: list[Pair] = []
        self._error: BaseException | None = None
        self._ended = False
        self.plan: tuple[generator_pb2.Sentence, ...] = ()
        self.pairs = self.sentences_done = 0
        self.seconds_to_first_pair = 0.0
        self.seconds_to_last_pair = 0.0

    def __enter__(self) -> Self:
        entries = self._journal.read()
        self._fresh = [entry for entry in entries if isinstance(entry, Pair)]
        done = [entry.sentence_index for entry in entries if isinstance(entry, Outcome)]
        self.pairs, self.sentences_done = len(self._fresh), len(done)
        log.info("generation_started", pairs_kept=self.pairs, sentences_kept=self.sentences_done)
        self._began_at = self._heard_at = time.monotonic()
        self._generation = self._generate(sorted(done))
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._generation.cancel()
        self._reader.join()

    @property
    def sentences(self) -> int:
        """How many sentences the documents have; 0 until that is known."""
        return len(self.plan)

    @property
    def seconds(self) -> float:
        """Since the start of this attempt."""
        return time.monotonic() - self._began_at

    @property
    def exhausted(self) -> bool:
        """Whether every pair has been taken, and no more will come."""
        with self._changed:
            return self._ended and not self._fresh

    def take(self, at_least: int, check: Callable[[], None]) -> list[Pair]:
        """All pairs that have come since the last call.

        Blocks until there are `at_least` of them and the plan is known, or no more will come.

        Raises what ended the stream early; what `check` raises, which is called every CHECK_SECONDS; TimedOut after
        STALL_SECONDS without a sign of the generator.
        """
        with self._changed:
            while (len(self._fresh) < at_least or not self.plan) and not self._ended and self._error is None:
                self._changed.wait(CHECK_SECONDS)
                check()
                if time.monotonic() - self._heard_at > STALL_SECONDS:
                    raise TimedOut(waiting_for="the generator")
            if self._error is not None:
                raise self._error
            taken, self._fresh = self._fresh, []
        return taken

    def _read(self) -> None:
        recorder = Recorder(self._journal)
        error: BaseException | None = None
        try:
            if not self._hear(recorder):
                error = GeneratorUnavailable(problem="the stream ended early")
        except Exception as failure:
            error = failure
        try:
            recorder.close()
        except Exception as failure:
            error = error or failure
        with self._changed:
            self._error, self._ended = error, error is None
            self._changed.notify_all()

    def _hear(self, recorder: Recorder) -> bool:
        """Takes in every event; whether the closing report was among them."""
        complete = False
        for event in self._generation:
            self._heard_at = time.monotonic()
            match event.WhichOneof("event"):
                case "plan":
                    with self._changed:
                        self.plan = tuple(event.plan.sentences)
                        self._changed.notify_all()
                case "pair":
                    pair = _pair(event.pair)
                    recorder.record(pair)
                    self._hand_out(pair)
                case "outcome":
                    recorder.record(_outcome(event.outcome))
                    self.sentences_done += 1
                case "coverage":
                    complete = True
                    log.info("generation_ended", pairs=event.coverage.pairs, failed=event.coverage.failed)
        return complete

    def _hand_out(self, pair: Pair) -> None:
        seconds = time.monotonic() - self._began_at
        self.seconds_to_first_pair = self.seconds_to_first_pair or seconds
        self.seconds_to_last_pair = seconds
        with self._changed:
            self._fresh.append(pair)
            self.pairs += 1
            self._changed.notify_all()


def _pair(said: generator_pb2.Pair) -> Pair:
    kind = Kind.of_message(said.kind)
    return Pair(question=said.question, answer=said.answer, sentence_index=said.sentence_index, kind=kind)


def _outcome(said: generator_pb2.SentenceOutcome) -> Outcome:
    return Outcome(sentence_index=said.sentence_index, pairs=said.pairs, error=said.error)
