"""The parts of a stack's pipeline one at a time: writing questions without training, and training without writing."""

import random
import time
import tomllib
from collections.abc import Sequence
from typing import Self

from benchmarks.contestants import encoded
from lift.errors import NothingWritten, StackStopped
from lift.settings import Settings
from lift.stack.folder import StateFolder, holder
from trainer.batches import Example, epoch
from trainer.generator import Generator, Source
from trainer.profiles import hyperparameters
from trainer.training import later_epochs
from trainer.workshop import Workshop

Pairs = Sequence[tuple[str, str]]


class Alone:
    """A stack's generator, and a learner of this process on the stack's base model and profile."""

    def __init__(self, settings: Settings) -> None:
        self._generator = Generator(settings.generator.address, settings.node_token.get_secret_value())
        self._hyperparameters = hyperparameters({}, settings.trainer.profile, settings.model.max_lora_rank)
        workshop = Workshop.of(settings)
        self._encoder = workshop.encoder(self._hyperparameters.max_pair_tokens)
        self._learner = workshop.learner

    @classmethod
    def of(cls, state: StateFolder) -> Self:
        """Of the stack that runs in a state folder. StackStopped."""
        if holder(state) is None:
            raise StackStopped(state=str(state.path))
        return cls(Settings.read(**tomllib.loads(state.config.read_text())))

    def close(self) -> None:
        """Closes the connection to the generator."""
        self._generator.close()

    def generate(self, text: str, title: str) -> tuple[Pairs, float]:
        """The pairs, and the seconds to the last of them. GeneratorUnavailable."""
        began_at = time.perf_counter()
        seconds, pairs = 0.0, []
        for event in self._generator.generate([Source(title=title, text=text)], {}, ()):
            if event.WhichOneof("event") == "pair":
                pairs.append((event.pair.question, event.pair.answer))
                seconds = time.perf_counter() - began_at
        return pairs, seconds

    def train(self, pairs: Pairs) -> float:
        """Seconds of a job's steps on the pairs, behind one that is not counted. NothingWritten."""
        batches = self.batches(pairs)
        with self._learner.adapter(self._hyperparameters) as adapter:
            adapter.step(batches[0])
            began_at = time.perf_counter()
            for batch in batches:
                adapter.step(batch)
            return time.perf_counter() - began_at

    def batches(self, pairs: Pairs) -> list[list[Example]]:
        """Those of a job's epochs. NothingWritten.

        What rules ask, which a job's later epochs leave out where enough others ask for it, is in all of them.
        """
        examples, chosen = encoded(pairs, self._encoder), self._hyperparameters
        if not examples:
            raise NothingWritten(pairs=len(pairs))
        size, more = later_epochs(len(examples), chosen)
        shuffler = random.Random(0)  # noqa: S311 - an order, no secret
        batches = epoch(examples, chosen.batch_size, shuffler)
        return batches + [batch for _ in range(more) for batch in epoch(examples, size, shuffler)]
