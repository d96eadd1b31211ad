"""Documents taken apart for the strategies."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from generator import generation
from generator.generation import Reading, SentenceFinished, SourceText, generate
from generator.llm import Usage
from generator.pairs import Strategy
from generator.rules import people
from generator.strategies import grounded
from generator.strategies.grounded import GroundedStrategy
from generator.strategies.raw import RawStrategy
from generator.testing import Reply

LIFE = "Ada Holm was a smith. The forge stood by the river. It had two doors. She sold it in 1902."


def failing(rule: Callable[..., Any], told: Callable[..., bool]) -> Callable[..., Any]:
    """The rule as it is, but that it trips over what `told` is true of."""

    def rule_or_failure(*given: Any, **named: Any) -> Any:
        if told(*given, **named):
            raise IndexError
        return rule(*given, **named)

    return rule_or_failure


async def outcomes(reading: Reading, strategy: Strategy) -> dict[int, tuple[bool, str]]:
    """Of each sentence whether it has pairs, and what went wrong."""
    todo = range(len(reading.plan))
    async with aclosing(generate(reading, todo, strategy, Usage())) as events:
        ended = [event async for event in events if isinstance(event, SentenceFinished)]
    return {event.sentence_index: (event.pairs > 0, event.error) for event in ended}


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


async def test_a_sentence_that_rules_trip_over_costs_no_other(asking, monkeypatch):
    monkeypatch.setattr(grounded, "answer_spans", failing(grounded.answer_spans, lambda text: "two doors" in text))
    client, _ = await asking(lambda _: Reply(text=" nobody knows"))
    strategy = GroundedStrategy.of_request(endpoint=client, name="", pairs_per_sentence=0, custom_prompt="")
    found = await outcomes(Reading([SourceText(title="", text=LIFE)], 200), strategy)
    assert found == {0: (True, ""), 1: (True, ""), 2: (False, "internal error"), 3: (True, "")}


async def test_a_sentence_that_cannot_be_read_costs_no_other(monkeypatch):
    monkeypatch.setattr(generation, "passage_of", failing(generation.passage_of, lambda *, at, **_: at == 1))
    found = await outcomes(Reading([SourceText(title="", text=LIFE)], 200), RawStrategy())
    assert found == {0: (True, ""), 1: (False, "internal error"), 2: (True, ""), 3: (True, "")}


async def test_a_sentence_whose_person_cannot_be_found_costs_none_behind_it(monkeypatch):
    monkeypatch.setattr(people, "tagged_words", failing(people.tagged_words, lambda text: "two doors" in text))
    reading = Reading([SourceText(title="", text=LIFE)], 200)
    assert await outcomes(reading, RawStrategy()) == dict.fromkeys(range(4), (True, ""))
    assert [reading.passage(at).person for at in range(4)] == ["", "", "", "Ada Holm"]
