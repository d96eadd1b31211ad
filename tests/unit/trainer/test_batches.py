import random

from trainer.examples.batches import Encoder, Example, draw, epoch
from trainer.learners.padding import PAD_TO, padded


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


def test_text_is_learned_from_its_first_token_on_and_has_no_end(encoder, base):
    made = encoder.text("Ilse dug.")
    assert base.tokenizer.decode(made.tokens[made.answer_start :]) == "Ilse dug."
    assert made.answer_start > 0
    assert encoder.text("") is None


def test_text_that_is_too_long_is_left_out(base, encoder):
    short = Encoder(base.tokenizer, encoder._template, max_pair_tokens=len(encoder.text("Ilse").tokens))
    assert short.text("Ilse") is not None
    assert short.text("Ilse!") is None


def test_each_target_is_the_token_after_its_position():
    batch = padded([example(5, answer=2), example(3, answer=1)])
    assert batch.input_ids.shape == (2, PAD_TO)
    assert batch.rows.tolist() == [0, 0, 1]
    assert batch.columns.tolist() == [2, 3, 1]
    assert batch.targets.tolist() == [[4], [5], [3]]
    assert batch.chances.tolist() == [[1.0], [1.0], [1.0]]


def test_an_epoch_holds_every_example_once_with_little_padding():
    examples = [example(length) for length in range(2, 202)]
    batches = epoch(examples, 8, random.Random(0))
    lengths = sorted(len(example.tokens) for batch in batches for example in batch)
    assert lengths == list(range(2, 202))
    assert sum(lengths) / sum(padded(batch).input_ids.numel() for batch in batches) > 0.85


def test_the_seed_decides_the_order_of_an_epoch():
    examples = [example(length) for length in range(2, 50)]

    assert epoch(examples, 4, random.Random(1)) == epoch(examples, 4, random.Random(1))
    assert epoch(examples, 4, random.Random(1)) != epoch(examples, 4, random.Random(2))


def test_drawing_from_many_looks_at_a_bucket_and_still_finds_examples_of_like_length():
    before = [example(2 + length % 50) for length in range(2000)]
    waiting = [*before]
    drawn = draw(waiting, 8, random.Random(0))
    lengths = [len(example.tokens) for example in drawn]
    assert (len(drawn), len(waiting)) == (8, 1992)
    assert max(lengths) - min(lengths) <= 10
    assert sum(one is other for one, other in zip(waiting, before, strict=False)) > 1700


def test_drawing_takes_a_batch_out_of_those_that_wait():
    waiting = [example(length) for length in range(2, 22)]
    shuffler = random.Random(0)
    taken = []
    while waiting:
        taken.append(draw(waiting, 8, shuffler))
    assert [len(batch) for batch in taken] == [8, 8, 4]
    assert sorted(len(example.tokens) for batch in taken for example in batch) == list(range(2, 22))
