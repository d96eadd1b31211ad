"""Who writes the questions: which model is asked, with which text, and how often."""

from contextlib import aclosing, suppress
from dataclasses import replace
from itertools import count

import pytest

from generator.llm import RequestFailed, Usage
from generator.openings import Opening
from generator.pairs import Kind
from generator.profiles import QUESTIONS_PER_ANSWER, chosen_profile
from generator.sentences import Passage
from generator.strategies.grounded import GroundedStrategy
from generator.testing import Reply
from generator.writers import BEGINNINGS, PROPOSALS, ROUND, Draft, ShownWriter, Start, Subject, TaughtWriter
from lift.writing import WRITER, answer_prompt, question_prompt

BRIDGE = Subject(
    title="The bridge of Oss",
    window="Oss is old. Its bridge crosses the Teasel.",
    preceding=("Oss lies low.", "Oss is old.", "Its bridge crosses the Teasel."),
    sentence="The bridge was built in 1802 by Ada Holm.",
)
WHEN = Opening(text="When was the bridge")
PLACES = frozenset({"title", "window", "sentence", "answer"})
ROUNDS = BEGINNINGS // ROUND
WORDS = "How", "What", "When", "Where", "Why"
BEGUN = Start(opening=WHEN, weights=(-0.5, -0.5))


def is_beginning(body):
    """Whether a request asks how a question could begin, and not for one."""
    return bool(body.get("logprobs"))


def begun(body):
    """More beginnings than a writer goes on from, likelier ones first."""
    if body["prompt"].endswith("Question:"):
        return Reply(likely={f" {word}": -0.1 * number for number, word in enumerate(WORDS)})
    return Reply(likely={f" {word}": -0.01 * number for number, word in enumerate(("did", "was", "is", "had", "has"))})


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
    client, endpoint = await asking(lambda _: Reply(text=" built?"))
    writer = TaughtWriter(client, WRITER)
    (draft,) = await writer.questions(BRIDGE, "1802", [BEGUN], Usage())
    question = draft.question
    (answer,) = await writer.answers(BRIDGE, [question], Usage())
    about = {"title": BRIDGE.title, "window": "Oss is old. Its bridge crosses the Teasel.", "sentence": BRIDGE.sentence}
    assert question == "When was the bridge built?"
    assert [request["prompt"] for request in endpoint.requests] == [
        f"{question_prompt(**about, answer='1802')} {WHEN.text}",
        answer_prompt(**about, question=question),
    ]
    assert {request["model"] for request in endpoint.requests} == {WRITER}
    assert answer


async def test_a_shown_writer_is_the_endpoints_own_model(asking):
    client, endpoint = await asking(lambda _: Reply(text=" built?"), model="base")
    questions = await shown(client).questions(BRIDGE, "1802", [Start(opening=WHEN)], Usage())
    assert questions == [Draft(question="When was the bridge built?")]
    assert endpoint.requests[0]["model"] == "base"
    assert endpoint.requests[0]["prompt"].endswith("When was the bridge")


async def test_an_opening_that_says_nothing_yet_and_is_not_gone_on_from_is_no_question(asking):
    client, _ = await asking(lambda _: Reply(text="?"))
    writer = shown(client)
    assert await writer.questions(BRIDGE, "1802", [Start(opening=WHEN)], Usage()) == [Draft(question="")]
    complete = Start(opening=Opening(text="When was the bridge built", may_end=True))
    assert await writer.questions(BRIDGE, "1802", [complete], Usage()) == [Draft(question="When was the bridge built?")]


async def test_a_taught_writer_goes_on_from_its_likeliest_beginnings(asking):
    client, endpoint = await asking(begun)
    rounds = await TaughtWriter(client, WRITER).rounds(BRIDGE, "1802", [WHEN], Usage())
    starts = [start for asked in rounds for start in asked]
    assert [len(asked) for asked in rounds] == [ROUND] * ROUNDS
    assert len(endpoint.requests) == 1 + len(WORDS)
    openings = [start.opening.text for start in starts]
    assert openings[:4] == ["How did", "How was", "How is", "What did"]  # three of a first word
    assert [sum(start.weights) for start in starts] == sorted((sum(start.weights) for start in starts), reverse=True)
    assert len(set(openings)) == BEGINNINGS


async def test_what_hardly_begins_a_question_is_not_gone_on_from(asking):
    def script(body):
        if body["prompt"].endswith("Question:"):
            return Reply(likely={" When": -0.1, " Why": -6.0, "\n": -0.2, "ly": -0.3, " \ufffd": -0.4})
        return Reply(likely={" was": -0.1, "\n": -0.2, " did": -6.0})

    client, _ = await asking(script)
    (starts,) = await TaughtWriter(client, WRITER).rounds(BRIDGE, "1802", [], Usage())
    assert starts == [Start(opening=Opening(text="When was"), weights=(-0.1, -0.1))]


async def test_a_taught_writer_that_would_begin_with_anything_asks_nothing(asking):
    client, endpoint = await asking(lambda _: Reply(likely={f" {letter}": -6.0 for letter in "abcde"}))
    assert await TaughtWriter(client, WRITER).rounds(BRIDGE, "1802", [], Usage()) == ()
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("more", [b"", b', "top_logprobs": []', b', "top_logprobs": [" Is"]'])
async def test_an_endpoint_that_names_no_likely_tokens_is_of_no_use_to_a_taught_writer(asking, more):
    body = b'{"choices": [{"text": " Is", "index": 0, "logprobs": {"token_logprobs": [-0.1]%s}}]}' % more
    client, _ = await asking(lambda _: Reply(body=body))
    with pytest.raises(RequestFailed, match="log-probabilities"):
        await TaughtWriter(client, WRITER).rounds(BRIDGE, "1802", [], Usage())


async def test_a_question_that_a_taught_writer_finds_unlikely_is_none(asking):
    client, _ = await asking(lambda body: Reply(text=" it so?", likelihood=-5 if "Oss" in body["prompt"] else -0.25))
    writer = TaughtWriter(client, WRITER)
    started = Start(opening=Opening(text="Is"), weights=(-1.0,))
    assert await writer.questions(BRIDGE, "1802", [started], Usage()) == [Draft(question="")]
    elsewhere = replace(BRIDGE, title="", preceding=())
    likely = await writer.questions(elsewhere, "1802", [started], Usage())
    assert likely == [Draft(question="Is it so?", likelihood=-0.5)]  # of all three tokens


async def test_an_endpoint_that_weighs_nothing_is_of_no_use_to_a_taught_writer(asking):
    client, _ = await asking(lambda _: Reply(body=b'{"choices": [{"text": " Is it?", "index": 0}]}'))
    with pytest.raises(RequestFailed, match="log-probabilities"):
        await TaughtWriter(client, WRITER).questions(BRIDGE, "1802", [BEGUN], Usage())


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
            return Reply(
                likely={" When": -0.1, " Which": -0.5} if body["prompt"].endswith("Question:") else {" was": -0.1}
            )
        return Reply(text=" the old bridge built?" if "Answer: 1802\n" in body["prompt"] else " it?")

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
            return begun(body)
        number = next(numbers)
        return Reply(text=f" bridge {number} of the bridge come about?", likelihood=-0.1 * (number % 10))

    numbers = count()
    client, _ = await asking(script, model="base", writer=WRITER)
    strategy = GroundedStrategy.of_request(endpoint=client, name="", pairs_per_sentence=0, custom_prompt="")
    window = " ".join(map(str, range(200)))
    passage = Passage(title="The bridge", window=window, sentence=BRIDGE.sentence, preceding=())
    async with aclosing(strategy.write(passage, Usage())) as written:
        held = [pair async for pair in written if pair.answer == "in 1802 by Ada Holm"]
    assert len(held) == QUESTIONS_PER_ANSWER["general"]
    assert "in 1802 by Ada Holm" not in strategy.spans(passage)


@pytest.mark.parametrize(
    ("profile", "held", "rounds", "kept"),
    [
        ("general", ROUND, 1, 4),
        ("general", 1, ROUNDS, 1),
        ("thorough", ROUND, ROUNDS, ROUND),
        ("thorough", BEGINNINGS, ROUNDS, 8),
    ],
)
async def test_more_questions_are_asked_for_where_too_few_hold(asking, profile, held, rounds, kept):
    def script(body):
        prompt = body["prompt"]
        if is_beginning(body):
            return begun(body)
        if not prompt.endswith("Answer:"):
            asked.append(prompt)
            return Reply(text=f" bridge {len(asked)} of the bridges built?")
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
    assert len(asked) == rounds * ROUND


@pytest.mark.parametrize(
    ("question", "is_kept"),
    [("When did masons erect the bridge of Oss?", True), ("When did local masons erect the bridge of Oss?", False)],
)
async def test_a_taught_writer_may_ask_in_words_of_its_own(asking, question, is_kept):
    def script(body):
        if is_beginning(body):
            return Reply(likely={" When": -0.1} if body["prompt"].endswith("Question:") else {" did": -0.1})
        if not body["prompt"].endswith("Answer:"):
            return Reply(text=question.removeprefix("When did"))
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
            return begun(body)
        if not prompt.endswith("Answer:"):
            asked.append(prompt)
            number = len(asked)
            return Reply(status=400) if number > ROUND else Reply(text=f" bridge {number} of the bridges built?")
        return Reply(text=" 1802" if "bridge 1 of" in prompt else " no")

    asked = []
    client, _ = await asking(script, model="base", writer=WRITER)
    strategy = GroundedStrategy.of_request(endpoint=client, name="single-fact", pairs_per_sentence=0, custom_prompt="")
    passage = Passage(title="bridges", window=" ".join(map(str, range(200))), sentence="1802 it was.", preceding=())
    found = []
    with suppress(RequestFailed):
        async for pair in strategy.write(passage, Usage()):
            found.append(pair)
    assert [pair.question for pair in found if pair.kind is Kind.GROUNDED] == ["How did bridge 1 of the bridges built?"]
