"""What a generator said, as a job's stream of pairs, for training that is nobody's job."""

from collections.abc import Iterator, Sequence
from typing import Any

from lift.internal.v1.generator_pb2 import GenerateResponse
from storage import keys
from storage.journal import Journal
from storage.objects import ObjectStore
from trainer.jobs.generation import Generation
from trainer.jobs.stream import PairStream

JOB = ("bench", "job")
PREFIX = keys.journal(*JOB)
"""Of the chunks of its journal."""


def journal(objects: ObjectStore) -> Journal:
    """Of the job that is nobody's, in this store."""
    return Journal(objects, *JOB, token=1)


def replayed(said: Sequence[GenerateResponse], objects: ObjectStore) -> PairStream:
    """The pairs of the journal in this store, then those that were said."""
    return PairStream(journal(objects), lambda _: Generation(_Said(said)))


class Unwatched:
    """Work that is nobody's job."""

    def check(self) -> None:
        """Goes on."""

    def report(self, **changes: Any) -> None:
        """Tells nobody."""

    def took(self, **seconds: float) -> None:
        """Tells nobody."""


class _Said:
    """A generator's call whose events are known."""

    def __init__(self, events: Sequence[GenerateResponse]) -> None:
        self._events = events

    def __iter__(self) -> Iterator[GenerateResponse]:
        return iter(self._events)

    def cancel(self) -> None:
        """Nothing is running."""
