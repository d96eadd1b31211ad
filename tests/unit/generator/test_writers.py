"""Who writes the questions: which model is asked, with which text, and how often."""

from contextlib import aclosing

import pytest

from generator.llm import Usage
from generator.openings import Opening
from generator.pairs import Kind
from generator.profiles import chosen_profile
from generator.sentences import Passage
from generator.strategies.grounded import GroundedStrategy
from generator.testing import Reply
from generator.writers import FREE, OPENINGS, TAUGHT_SAMPLES, ShownWriter, Start, Subject, TaughtWriter
from lift.writing import WRITER, answer_prompt, question_prompt

BRIDGE = Subject(
    title="The bridge of Oss",
    window="Oss is old. Its bridge crosses the Teasel.",
    preceding=("Oss lies low.", "Oss is old.", "Its bridge crosses the Teasel."),
    sentence="The bridge was built in 1802 by Ada Holm.",
)
WHEN = Opening(text="When was the bridge")
PLACES = frozenset({"title", "window", "sentence", "answer"})


def shown(client):
    profile = chosen_profile(
        strategy="grounded",
        name="general",
        pairs_per_sentence=0,
        custom_prompt="",
        required=frozenset(),
        allowed=PLACES,
    )
    return ShownWriter(client, profile)


async def test_a_taught_writer_is_asked_by_its_name_with_the_texts_that_it_was_taught_on(asking):
    client, endpoint = await asking(lambda _: Reply(text=" When was the bridge built?"))
    writer = TaughtWriter(client, WRITER)
    question = await writer.question(BRIDGE, "1802", Start(opening=FREE), Usage())
    answer = await writer.answer(BRIDGE, question, Usage())
    about = {"title": BRIDGE.title, "window": "Oss is old. Its bridge crosses the Teasel.", "sentence": BRIDGE.sentence}
    assert question == "When was the bridge built?"
    assert [request["prompt"] for request in endpoint.requests] == [
        question_prompt(**about, answer="1802"),
        answer_prompt(**about, question=question),
    ]
    assert {request["model"] for request in endpoint.requests} == {WRITER}
    assert answer


async def test_a_shown_writer_is_the_endpoints_own_model(asking):
    client, endpoint = await asking(lambda _: Reply(text=" built?"), model="base")
    question = await shown(client).question(BRIDGE, "1802", Start(opening=WHEN), Usage())
    assert question == "When was the bridge built?"
    assert endpoint.requests[0]["model"] == "base"
    assert endpoint.requests[0]["prompt"].endswith("When was the bridge")


@pytest.mark.parametrize("kind", ["taught", "shown"])
async def test_an_opening_that_says_nothing_yet_and_is_not_gone_on_from_is_no_question(asking, kind):
    client, _ = await asking(lambda _: Reply(text="?"))
    writer = TaughtWriter(client, WRITER) if kind == "taught" else shown(client)
    assert await writer.question(BRIDGE, "1802", Start(opening=WHEN), Usage()) == ""
    complete = Opening(text="When was the bridge built", may_end=True)
    assert await writer.question(BRIDGE, "1802", Start(opening=complete), Usage()) == "When was the bridge built?"


async def test_a_taught_writer_begins_as_it_likes_and_then_with_the_openings(asking):
    client, _ = await asking(lambda _: Reply())
    starts = TaughtWriter(client, WRITER).starts([WHEN] * (OPENINGS + 3))
    assert starts[0] == Start(opening=FREE)
    assert [start.opening for start in starts].count(FREE) == 1 + TAUGHT_SAMPLES
    assert all(start.temperature > 0 for start in starts[1 : 1 + TAUGHT_SAMPLES])
    assert [start.opening for start in starts].count(WHEN) == OPENINGS


@pytest.mark.parametrize(("name", "prompt", "model"), [("", "", WRITER), ("needle", "", "base"), ("", "P", "base")])
async def test_needles_and_own_prompts_are_written_by_the_endpoints_model(asking, name, prompt, model):
    client, endpoint = await asking(lambda _: Reply(text=" was it built?"), model="base", writer=WRITER)
    custom = "{sentence} {answer}" if prompt else ""
    strategy = GroundedStrategy.of_request(endpoint=client, name=name, pairs_per_sentence=0, custom_prompt=custom)
    passage = Passage(title="Oss", window="", sentence=BRIDGE.sentence, preceding=())
    async with aclosing(strategy.write(passage, Usage())) as pairs:
        _ = [pair async for pair in pairs]
    assert {request["model"] for request in endpoint.requests} == {model}


async def test_questions_of_a_taught_writer_are_kept_where_it_reads_the_answer_back(asking):
    def script(body):
        if body["prompt"].endswith("Answer:"):
            return Reply(text=" 1802" if "When was" in body["prompt"] else " nobody knows")
        asks_year = "Answer: 1802\n" in body["prompt"] and body["prompt"].endswith("Question:")
        return Reply(text=" When was the old bridge built?" if asks_year else " Which bridge is it?")

    client, _ = await asking(script, model="base", writer=WRITER)
    strategy = GroundedStrategy.of_request(endpoint=client, name="", pairs_per_sentence=0, custom_prompt="")
    passage = Passage(title="The old bridge", window="", sentence=BRIDGE.sentence, preceding=())
    async with aclosing(strategy.write(passage, Usage())) as written:
        held = {(pair.question, pair.answer) async for pair in written if pair.kind is Kind.GROUNDED}
    assert held == {("When was the old bridge built?", "1802")}
