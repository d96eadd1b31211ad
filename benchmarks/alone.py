"""The parts of a stack's pipeline one at a time: writing questions without training, and training without writing."""

import time
import tomllib
from collections.abc import Sequence
from typing import Self

from benchmarks.contestants import encoded
from benchmarks.replay import Unwatched, replayed
from lift.errors import StackStopped
from lift.internal.v1.generator_pb2 import GenerateResponse
from lift.settings import Settings
from lift.stack.folder import StateFolder, holder
from storage.memory import MemoryObjects
from trainer.jobs.generation import Generator, Source
from trainer.jobs.training import train
from trainer.profiles import hyperparameters
from trainer.workshop import Workshop

Said = Sequence[GenerateResponse]
"""What a generator said about a document, to its end."""


class Alone:
    """A stack's generator, and a learner of this process on the stack's base model, profile and primer."""

    def __init__(self, settings: Settings) -> None:
        self._generator = Generator(settings.generator.address, settings.node_token.get_secret_value())
        self._hyperparameters = hyperparameters({}, settings.trainer.profile, settings.model.max_lora_rank)
        self._workshop = Workshop.of(settings)
        self._encoder = self._workshop.encoder(self._hyperparameters.max_pair_tokens)

    @classmethod
    def of(cls, state: StateFolder) -> Self:
        """Of the stack that runs in a state folder. StackStopped."""
        if holder(state) is None:
            raise StackStopped(state=str(state.path))
        return cls(Settings.read(**tomllib.loads(state.config.read_text())))

    def close(self) -> None:
        """Closes the connection to the generator."""
        self._generator.close()

    def generate(self, text: str, title: str) -> tuple[Said, float]:
        """What it says, and the seconds to the last pair. GeneratorUnavailable."""
        began_at = time.perf_counter()
        seconds, said = 0.0, []
        for event in self._generator.generate([Source(title=title, text=text)], {}, ()):
            said.append(event)
            if event.WhichOneof("event") == "pair":
                seconds = time.perf_counter() - began_at
        return said, seconds

    def train(self, said: Said) -> float:
        """Seconds of a job's training on the pairs, behind a step that is not counted. NothingWritten.

        What a profile of the stack's has no use for is left out: a teacher, and a second round.
        """
        chosen, workshop = self._hyperparameters, self._workshop
        beside = workshop.beside(chosen)
        self._warm_up(said)
        with workshop.learner.adapter(chosen, workshop.primer) as adapter, replayed(said, MemoryObjects()) as stream:
            began_at = time.perf_counter()
            train(stream, self._encoder, adapter, chosen, Unwatched(), beside=beside)
            return time.perf_counter() - began_at

    def _warm_up(self, said: Said) -> None:
        """A step of an adapter that is thrown away."""
        pairs = [(event.pair.question, event.pair.answer) for event in said if event.WhichOneof("event") == "pair"]
        examples = encoded(pairs, self._encoder)[: self._hyperparameters.batch_size]
        if examples:
            with self._workshop.learner.adapter(self._hyperparameters, self._workshop.primer) as adapter:
                adapter.step(examples)
