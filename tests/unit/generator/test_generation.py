"""Documents taken apart for the strategies."""

import asyncio
from contextlib import aclosing

from generator.generation import Reading, SourceText, generate
from generator.llm import Usage
from generator.strategies.raw import RawStrategy

LIFE = "Ada Holm was a smith. The forge stood by the river. It had two doors. She sold it in 1902."


def test_a_person_is_known_however_far_back_the_name_stands_and_in_any_order_of_asking():
    reading = Reading([SourceText(title="", text="Tom Rook sang."), SourceText(title="", text=LIFE)], 20)
    assert reading.passage(4).person == "Ada Holm"
    assert reading.passage(4).preceding == ("It had two doors.",)
    assert [reading.passage(at).person for at in range(5)] == ["", "", "", "", "Ada Holm"]


async def test_others_go_on_while_a_stream_reads_what_comes_before_its_first_sentence():
    reading = Reading([SourceText(title="", text="Tom Rook sang. " * 200 + LIFE)], 20)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    async with aclosing(generate(reading, [203], RawStrategy(), Usage())) as events:
        await anext(events)
    beside.cancel()
    assert turns > 200
    assert reading.passage(203).person == "Ada Holm"
