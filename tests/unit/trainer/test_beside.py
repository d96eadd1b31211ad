"""What each batch has beside it."""

from trainer.examples.batches import Example
from trainer.examples.beside import Beside, Portion

BATCH = [Example(tokens=(n, n), answer_start=1) for n in range(10)]
OTHERS = [Example(tokens=(-1 - n, 0), answer_start=1) for n in range(8)]
THIRD = [Example(tokens=(100 + n, 0), answer_start=1) for n in range(8)]


def of(examples: list[Example], share: float) -> Beside:
    return Beside([Portion(examples=examples, share=share)], seed=0)


def test_every_batch_has_its_share_beside_it():
    drawn = of(OTHERS, 0.25)
    draws = [drawn.added_to(BATCH) for _ in range(20)]
    assert all(draw[:10] == BATCH and len(draw) == 13 and set(draw[10:]) <= set(OTHERS) for draw in draws)
    assert {example for draw in draws for example in draw[10:]} == set(OTHERS)


def test_shares_are_of_the_batch_alone_and_at_most_what_there_is():
    assert of(OTHERS, 0.0).added_to(BATCH) == BATCH
    assert of([], 0.5).added_to(BATCH) == BATCH
    assert len(of(OTHERS, 1.0).added_to(BATCH)) == 18
    two = Beside([Portion(examples=OTHERS, share=0.5), Portion(examples=THIRD, share=0.5)], seed=0).added_to(BATCH)
    assert [len(set(two) & set(each)) for each in (BATCH, OTHERS, THIRD)] == [10, 5, 5]
