"""What follows from when tokens came: rates, ratios and shares of the limit."""

import pytest

from benchmarks.limits import Shape
from benchmarks.serve import Plan
from benchmarks.serving_work import BASE, Voice, gaps, limit_rate, ratios, works
from lift.errors import InvalidOption

SHAPE = Shape(linear=100, head=20, lora=40, attention=5, cached=3)
_, _, PREFILL, DECODE, BATCH = works(8)
MANY = Voice(name="8 of rank 128", adapters=8, first=1, rank=128)


def plan(**changes):
    asked = {"rank": 128, "shrunk_rank": 32, "adapters": (1, 8), "repeats": 1, "rivals": False}
    return Plan(base_model="m", say=print, **{**asked, **changes})


def test_prefill_counts_prompts_decoding_the_tokens_after_the_first_and_a_batch_all_it_writes():
    assert PREFILL.rate([[2.0]] * 8) == 8 * 24 / 2
    assert DECODE.rate([[1.0, *[2.0] * 22, 9.0, 13.0]]) == 24 / 12
    assert BATCH.rate([[1.0, 2.0], [1.0, 4.0]]) == 8 * 17 / 4


def test_adapters_take_streams_in_turn():
    assert BASE.numbers(3) == [0, 0, 0]
    assert Voice(name="2", adapters=2, first=9).numbers(5) == [9, 10, 9, 10, 9]


def test_gaps_are_those_between_tokens_of_one_stream():
    assert gaps([[1, 2, 4], [10, 11], [5]]) == [1, 2, 1]


def test_ratios_are_to_our_base_and_to_the_same_voice_of_stock_vllm():
    rates = {"decode": {"base": [10, 30, 20], "one": [15], "stock, base": [5], "stock, one": [3]}}
    assert ratios(rates) == {"decode": {"one / base": 0.75, "base / stock": 4, "one / stock": 5}}


def test_decoding_one_stream_is_bound_by_reading_base_adapter_and_cache():
    one = Voice(name="1", adapters=1, first=1, rank=128)
    cache = (DECODE.prompt_tokens + (DECODE.answer_tokens - 1) / 2) * 3
    assert limit_rate(DECODE, one, SHAPE, 1e12, 1000) == pytest.approx(1000 / (2 * (120 + 40 + cache)))
    assert limit_rate(DECODE, BASE, SHAPE, 1e12, 1000) > limit_rate(DECODE, one, SHAPE, 1e12, 1000)


def test_each_distinct_adapter_of_a_batch_is_read_once():
    one = limit_rate(BATCH, Voice(name="1", adapters=1, first=1, rank=128), SHAPE, 1e12, 1000)
    assert one > limit_rate(BATCH, MANY, SHAPE, 1e12, 1000)
    assert limit_rate(BATCH, Voice(name="99", adapters=99, first=1, rank=128), SHAPE, 1e12, 1000) == pytest.approx(
        limit_rate(BATCH, MANY, SHAPE, 1e12, 1000)
    )


def test_prefill_is_bound_by_products():
    flops = 8 * (2 * 100 * 24 + 2 * 24**2 * 5 + 2 * 20)
    assert limit_rate(PREFILL, BASE, SHAPE, 1000, 1e12) == pytest.approx(8 * 24 / (flops / 1000))


def test_a_plan_has_the_base_and_one_and_many_adapters_at_both_ranks():
    voices = plan().voices
    assert [voice.adapters for voice in voices] == [0, 1, 8, 1, 8]
    assert [voice.rank for voice in voices] == [0, 128, 128, 32, 32]
    assert {*voices[2].numbers(8)}.isdisjoint(voices[4].numbers(8))


def test_a_batch_has_a_stream_for_each_adapter_and_never_fewer_than_eight():
    assert [work.streams for work in plan(adapters=(1, 2)).works] == [8, 2, 8, 1, 8]
    assert [work.streams for work in plan(adapters=(1, 64, 8)).works] == [64, 2, 64, 1, 64]


def test_streams_are_of_an_adapter_each_and_leave_batches_as_they_are():
    asked = plan(adapters=(1, 8), streams=(1, 32))
    assert asked.most == 32
    assert [work.streams for work in asked.works] == [8, 2, 8, 1, 8]
    base, full, shrunk = asked.of_streams(32)
    assert (base, full.name, shrunk.name) == (BASE, "32 of rank 128", "32 of rank 32")
    assert len({*full.numbers(32), *shrunk.numbers(32)}) == 64


@pytest.mark.parametrize(
    "wrong",
    [
        {"rank": 7},
        {"shrunk_rank": 256},
        {"adapters": ()},
        {"adapters": (0,)},
        {"adapters": (8, 65)},
        {"repeats": 0},
        {"threads": -1},
        {"streams": (0,)},
        {"streams": (65,)},
    ],
)
def test_a_plan_that_cannot_be_is_refused(wrong):
    with pytest.raises(InvalidOption):
        plan(**wrong)
