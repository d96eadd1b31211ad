"""Gives what an adapter has not learned one more round: new questions about those sentences, and more steps.

A sentence is weak where the loss of its pairs is high once the epochs are over. Its pairs and the new ones are then
trained on at a lower rate, as many others beside them so that nothing else is forgotten, within a budget of steps.
"""

import math
import random
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice, repeat

from trainer.examples.batches import Example, epoch
from trainer.examples.beside import Beside, Portion
from trainer.learners.learner import Adapter
from trainer.profiles import Hyperparameters

WEAK_LOSS = 0.3  # nats per answer token; a pair that is answered word for word has less
FIRST_RATE = 0.5  # of the peak rate


def weak_sentences(adapter: Adapter, learned: Sequence[tuple[int, Example]]) -> frozenset[int]:
    """The sentences, given with each example, whose examples have a mean loss per answer token above WEAK_LOSS."""
    examples = defaultdict(list)
    for sentence, example in learned:
        examples[sentence].append(example)
    return frozenset(about for about, its in examples.items() if adapter.loss(its) > WEAK_LOSS)


def second_round(
    learned: Sequence[tuple[int, Example]], weak: Collection[int], steps: int, hyperparameters: Hyperparameters
) -> Iterator[tuple[list[Example], float]]:
    """The batches of the round, each with what is left of the peak rate; `steps` were made before it."""
    again = [example for sentence, example in learned if sentence in weak]
    known = [example for sentence, example in learned if sentence not in weak]
    beside = Beside([Portion(examples=known, share=1.0)], hyperparameters.seed)
    shuffler = random.Random(hyperparameters.seed)  # noqa: S311 - the order of training is no secret
    epochs = (epoch(again, hyperparameters.batch_size, shuffler) for _ in repeat(None))
    budget = math.ceil(hyperparameters.second_round * steps)
    for number, batch in enumerate(islice(chain.from_iterable(epochs), budget)):
        yield beside.added_to(batch), FIRST_RATE * (1 - number / budget)
