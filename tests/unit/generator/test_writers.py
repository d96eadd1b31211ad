"""Who writes the questions: which model is asked, with which text, and how often."""

from contextlib import aclosing, suppress
from dataclasses import replace
from itertools import count

import pytest

from generator.llm import RequestFailed, Usage
from generator.matching import can_be_asked
from generator.profiles import AMOUNTS, chosen_profile
from generator.rules.openings import Opening
from generator.sentences import Passage
from generator.strategies.grounded import GroundedStrategy
from generator.testing import Reply
from generator.writers import BEGINNINGS, PROPOSALS, ROUND, SHOWN_TEMPERATURE, Draft, ShownWriter, Subject, TaughtWriter
from lift.kinds import Kind
from lift.writing import WRITER, answer_prompt, question_prompt

BRIDGE = Subject(
    title="The bridge of Oss",
    window="Oss is old. Its bridge crosses the Teasel.",
    preceding=("Oss lies low.", "Oss is old.", "Its bridge crosses the Teasel."),
    sentence="The bridge was built in 1802 by Ada Holm.",
)
WHEN = Opening(text="When was the bridge")
PLACES = frozenset({"title", "window", "sentence", "answer"})
WORDS = "How", "What", "When", "Where", "Why"
BEHIND = {" did": -0.0, " was": -0.01, " is": -0.02, " had": -0.03}
ROUNDS = 1 + -(-(BEGINNINGS - len(WORDS)) // ROUND)


def is_beginning(body):
    """Whether a request asks what a question could begin with, and for none."""
    return body["max_tokens"] == 1


def begun(*words):
    """What it could begin with, likelier words first."""
    return Reply(likely={f" {word}": -0.1 * number for number, word in enumerate(words)})


async def drafts_of(writer, about=BRIDGE, openings=()):
    async with aclosing(writer.drafts(about, "1802", openings, Usage())) as rounds:
        return [drafts async for drafts in rounds]


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
    client, endpoint = await asking(
        lambda body: (
            begun("When") if is_beginning(body) else Reply(text=" was the bridge built?", likely={" was": -0.1})
        )
    )
    writer = TaughtWriter(client, WRITER)
    ((draft,),) = await drafts_of(writer)
    (answer,) = await writer.answers(BRIDGE, [draft.question], Usage())
    about = {"title": BRIDGE.title, "window": "Oss is old. Its bridge crosses the Teasel.", "sentence": BRIDGE.sentence}
    asked = question_prompt(**about, answer="1802")
    assert draft.question == "When was the bridge built?"
    assert [request["prompt"] for request in endpoint.requests] == [
        asked,
        f"{asked} When",
        answer_prompt(**about, question=draft.question),
    ]
    assert {request["model"] for request in endpoint.requests} == {WRITER}
    assert answer


async def test_a_shown_writer_is_the_endpoints_own_model(asking):
    client, endpoint = await asking(lambda _: Reply(text=" built?"), model="base")
    ((draft, again),) = await drafts_of(shown(client), openings=[WHEN])
    assert draft == again == Draft(question="When was the bridge built?")
    assert [request["temperature"] for request in endpoint.requests] == [0.0, SHOWN_TEMPERATURE]
    assert {request["model"] for request in endpoint.requests} == {"base"}
    assert all(request["prompt"].endswith("When was the bridge") for request in endpoint.requests)


async def test_an_opening_that_says_nothing_yet_and_is_not_gone_on_from_is_no_question(asking):
    client, _ = await asking(lambda _: Reply(text="?"))
    ((draft, _),) = await drafts_of(shown(client), openings=[WHEN])
    assert draft == Draft(question="")
    complete = Opening(text="When was the bridge built", may_end=True)
    ((draft, _),) = await drafts_of(shown(client), openings=[complete])
    assert draft == Draft(question="When was the bridge built?")


async def test_a_question_that_cannot_be_sent_is_none(asking):
    client, _ = await asking(lambda _: Reply(text=" built \ud83d?"))
    ((draft, _),) = await drafts_of(shown(client), openings=[WHEN])
    assert not can_be_asked(draft.question, "1802", "When was the bridge built?")


async def test_a_taught_writer_goes_on_from_its_likeliest_beginnings(asking):
    def script(body):
        if is_beginning(body):
            return begun(*WORDS)
        return Reply(text=" it so?", likely=BEHIND)

    client, endpoint = await asking(script)
    rounds = await drafts_of(TaughtWriter(client, WRITER))
    asked = [request["prompt"].partition("Question:")[2].strip() for request in endpoint.requests]
    assert asked[: 1 + len(WORDS)] == ["", *WORDS]  # each word once, with the likeliest token behind it
    assert asked[1 + len(WORDS) :] == [f"{word} {token}" for word in WORDS for token in ("was", "is")][: BEGINNINGS - 5]
    assert [len(drafts) for drafts in rounds] == [len(WORDS), ROUND, BEGINNINGS - len(WORDS) - ROUND]
    assert rounds[1][0].question == "How was it so?"
    assert {request["temperature"] for request in endpoint.requests} == {0.0}


async def test_a_taught_writer_is_not_asked_for_more_than_is_taken(asking):
    client, endpoint = await asking(lambda body: begun(*WORDS) if is_beginning(body) else Reply(text=" it so?"))
    async with aclosing(TaughtWriter(client, WRITER).drafts(BRIDGE, "1802", [], Usage())) as rounds:
        assert len(await anext(rounds)) == len(WORDS)
    assert len(endpoint.requests) == 1 + len(WORDS)


async def test_what_hardly_begins_a_question_is_not_gone_on_from(asking):
    def script(body):
        if is_beginning(body):
            return Reply(likely={" When": -0.1, " Why": -6.0, "\n": -0.2, "ly": -0.3, " \ufffd": -0.4, " ": -0.5})
        return Reply(text=" it so?", likely={" was": -0.1, "\n": -0.2, " \ufffd": -0.3, " did": -6.0})

    client, endpoint = await asking(script)
    assert len(await drafts_of(TaughtWriter(client, WRITER))) == 1
    assert [request["prompt"][-5:] for request in endpoint.requests] == ["tion:", " When"]


async def test_a_taught_writer_that_would_begin_with_anything_asks_nothing(asking):
    client, endpoint = await asking(lambda _: Reply(likely={f" {letter}": -6.0 for letter in "abcde"}))
    assert await drafts_of(TaughtWriter(client, WRITER)) == [[]]
    assert len(endpoint.requests) == 1


async def test_a_question_that_a_taught_writer_finds_unlikely_is_none(asking):
    def script(body):
        if is_beginning(body):
            return Reply(likely={" Is": -1.0})
        return Reply(text=" it so?", likely={" it": -0.1}, likelihood=-5 if "Oss" in body["prompt"] else -0.25)

    client, _ = await asking(script)
    writer = TaughtWriter(client, WRITER)
    assert await drafts_of(writer) == [[Draft(question="")]]
    elsewhere = replace(BRIDGE, title="", preceding=())
    assert await drafts_of(writer, elsewhere) == [[Draft(question="Is it so?", likelihood=-0.5)]]  # of three tokens


@pytest.mark.parametrize("weights", [b"null", b"{}", b'{"token_logprobs": [-0.1], "top_logprobs": [" Is"]}'])
async def test_an_endpoint_that_weighs_nothing_is_of_no_use_to_a_taught_writer(asking, weights):
    body = b'{"choices": [{"text": " Is it?", "index": 0, "logprobs": %s}]}' % weights
    client, _ = await asking(lambda _: Reply(body=body))
    with pytest.raises(RequestFailed, match="log-probabilities"):
        await drafts_of(TaughtWriter(client, WRITER))


async def test_proposals_are_words_of_the_sentence_each_once(asking):
    replies = iter([" Ada Holm", " 1802", " Ada Holm", " Paris", ""])
    client, endpoint = await asking(lambda _: Reply(text=next(replies, " 1802")))
    assert set(await TaughtWriter(client, WRITER).proposals(BRIDGE, Usage())) == {"Ada Holm", "1802"}
    assert len(endpoint.requests) == 1 + PROPOSALS
    assert await shown(client).proposals(BRIDGE, Usage()) == ()


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
            asked = "Question:" in body["prompt"]
            return Reply(text=" 1802" if "When was" in body["prompt"] or not asked else " nobody knows")
        if is_beginning(body):
            return begun("When", "Which")
        return Reply(text=" was the old bridge built?" if "Answer: 1802\n" in body["prompt"] else " bridge is it?")

    client, _ = await asking(script, model="base", writer=WRITER)
    strategy = GroundedStrategy.of_request(endpoint=client, name="", pairs_per_sentence=0, custom_prompt="")
    passage = Passage(title="The old bridge", window="", sentence=BRIDGE.sentence, preceding=())
    async with aclosing(strategy.write(passage, Usage())) as written:
        held = {(pair.question, pair.answer) async for pair in written if pair.kind is Kind.GROUNDED}
    assert held == {("When was the old bridge built?", "1802")}


async def test_what_a_taught_writer_proposes_beside_the_rules_is_asked_for_and_the_likeliest_questions_are_kept(asking):
    def script(body):
        prompt = body["prompt"]
        if prompt.endswith("Answer:") and "Question:" not in prompt:
            return Reply(text=" in 1802 by Ada Holm")
        if prompt.endswith("Answer:"):
            return Reply(text=" in 1802 by Ada Holm" if "bridge come about" in prompt else " nobody knows")
        if is_beginning(body):
            return begun(*WORDS)
        number = next(numbers)
        return Reply(text=f" bridge {number} of the bridge come about?", likelihood=-0.1 * (number % 10), likely=BEHIND)

    numbers = count()
    client, _ = await asking(script, model="base", writer=WRITER)
    strategy = GroundedStrategy.of_request(endpoint=client, name="", pairs_per_sentence=0, custom_prompt="")
    window = " ".join(map(str, range(200)))
    passage = Passage(title="The bridge", window=window, sentence=BRIDGE.sentence, preceding=())
    async with aclosing(strategy.write(passage, Usage())) as written:
        held = [pair async for pair in written if pair.answer == "in 1802 by Ada Holm"]
    assert len(held) == AMOUNTS["general"].questions_per_answer
    assert "in 1802 by Ada Holm" not in strategy.spans(passage)


@pytest.mark.parametrize(
    ("profile", "held", "rounds", "kept"),
    [
        ("general", len(WORDS), 1, 4),
        ("general", 1, ROUNDS, 1),
        ("thorough", len(WORDS), ROUNDS, len(WORDS)),
        ("thorough", BEGINNINGS, 2, 8),
    ],
)
async def test_more_questions_are_asked_for_where_too_few_hold(asking, profile, held, rounds, kept):
    def script(body):
        prompt = body["prompt"]
        if is_beginning(body):
            return begun(*WORDS)
        if not prompt.endswith("Answer:"):
            asked.append(prompt)
            return Reply(text=f" bridge {len(asked)} of the bridges built?", likely=BEHIND)
        if "Question:" not in prompt:
            return Reply(text=" Paris")
        return Reply(text=" 1802" if any(f"bridge {number} of" in prompt for number in range(1, held + 1)) else " no")

    asked = []
    client, _ = await asking(script, model="base", writer=WRITER)
    strategy = GroundedStrategy.of_request(endpoint=client, name=profile, pairs_per_sentence=0, custom_prompt="")
    window = " ".join(map(str, range(200)))
    passage = Passage(title="bridges", window=window, sentence="1802 it was.", preceding=())
    assert strategy.spans(passage) == ("1802",)
    async with aclosing(strategy.write(passage, Usage())) as written:
        found = [pair async for pair in written if pair.kind is Kind.GROUNDED]
    assert len(found) == kept
    assert len(asked) == min(len(WORDS) + (rounds - 1) * ROUND, BEGINNINGS)


@pytest.mark.parametrize(
    ("question", "is_kept"),
    [("When did masons erect the bridge of Oss?", True), ("When did local masons erect the bridge of Oss?", False)],
)
async def test_a_taught_writer_may_ask_in_words_of_its_own(asking, question, is_kept):
    def script(body):
        if is_beginning(body):
            return begun("When")
        if not body["prompt"].endswith("Answer:"):
            return Reply(text=question.removeprefix("When"), likely={" did": -0.1})
        return Reply(text=" 1802")

    client, _ = await asking(script, model="base", writer=WRITER)
    strategy = GroundedStrategy.of_request(endpoint=client, name="single-fact", pairs_per_sentence=0, custom_prompt="")
    passage = Passage(title="The bridge of Oss", window="", sentence="The bridge was built in 1802.", preceding=())
    async with aclosing(strategy.write(passage, Usage())) as written:
        found = {pair.question async for pair in written if pair.kind is Kind.GROUNDED}
    assert found == ({question} if is_kept else set())


async def test_what_held_before_a_request_failed_is_kept(asking):
    def script(body):
        prompt = body["prompt"]
        if is_beginning(body):
            return begun(*WORDS)
        if not prompt.endswith("Answer:"):
            asked.append(prompt)
            number = len(asked)
            more = Reply(text=f" bridge {number} of the bridges built?", likely=BEHIND)
            return Reply(status=400) if number > len(WORDS) else more
        return Reply(text=" 1802" if "bridge 1 of" in prompt else " no")

    asked = []
    client, _ = await asking(script, model="base", writer=WRITER)
    strategy = GroundedStrategy.of_request(endpoint=client, name="single-fact", pairs_per_sentence=0, custom_prompt="")
    passage = Passage(title="bridges", window=" ".join(map(str, range(200))), sentence="1802 it was.", preceding=())
    found = []
    with suppress(RequestFailed):
        async for pair in strategy.write(passage, Usage()):
            found.append(pair)
    assert [pair.question for pair in found if pair.kind is Kind.GROUNDED] == ["How bridge 1 of the bridges built?"]
