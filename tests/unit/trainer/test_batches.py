import random

import pytest

from trainer.batches import PAD_TO, Encoder, Example, collate, draw, epoch


def example(length: int, answer: int = 1) -> Example:
    return Example(tokens=tuple(range(1, length + 1)), answer_start=length - answer)


def test_a_pair_becomes_the_served_prompt_then_the_answer_then_the_stop_token(encoder, base):
    made = encoder.encode("Who?", "Ilse")
    text = base.tokenizer.decode(made.tokens[: made.answer_start])
    assert text == "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"
    assert base.tokenizer.decode(made.tokens[made.answer_start :]) == "Ilse<|im_end|>"


def test_a_pair_that_is_too_long_is_left_out(base, encoder):
    long = Encoder(base.tokenizer, encoder._template, max_pair_tokens=len(encoder.encode("Who?", "Ilse").tokens))
    assert long.encode("Who?", "Ilse") is not None
    assert long.encode("Who??", "Ilse") is None


def test_a_pair_without_an_answer_is_left_out(encoder):
    assert encoder.encode("Who?", "") is None


def test_each_target_is_the_token_after_its_position():
    batch = collate([example(5, answer=2), example(3, answer=1)])
    assert batch.input_ids.shape == (2, PAD_TO)
    assert batch.rows.tolist() == [0, 0, 1]
    assert batch.columns.tolist() == [2, 3, 1]
    assert batch.targets.tolist() == [4, 5, 3]
    assert batch.useful_tokens == 8


def test_an_epoch_holds_every_example_once_with_little_padding():
    examples = [example(length) for length in range(2, 202)]
    batches = list(epoch(examples, 8, random.Random(0)))
    lengths = sorted(int(row.count_nonzero()) for batch in batches for row in batch.input_ids)
    assert lengths == list(range(2, 202))
    useful = sum(batch.useful_tokens for batch in batches)
    assert useful / sum(batch.input_ids.numel() for batch in batches) > 0.85


def test_the_seed_decides_the_order_of_an_epoch():
    examples = [example(length) for length in range(2, 50)]

    def order(seed: int) -> list[list[int]]:
        return [batch.columns.tolist() for batch in epoch(examples, 4, random.Random(seed))]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_drawing_takes_a_batch_out_of_those_that_wait():
    waiting = [example(length) for length in range(2, 22)]
    shuffler = random.Random(0)
    taken = []
    while waiting:
        taken.append(draw(waiting, 8, shuffler))
    assert [len(batch.input_ids) for batch in taken] == [8, 8, 4]
    assert sum(batch.useful_tokens for batch in taken) == pytest.approx(sum(range(2, 22)))
